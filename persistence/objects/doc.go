// Package objects keeps Wind's archives in an object store: on S3 and what is compatible with it, Google Cloud Storage, Azure
// Blob Storage, or anything else for which gocloud.dev/blob has a driver. Its Store implements Archives of package
// persistence. It is a separate module, so that nothing else inherits its dependencies, and imports nothing of Wind.
//
// A game's binary chooses the driver and the schemes of the URLs that its flags --archive and --file accept:
//
//	import _ "gocloud.dev/blob/s3blob"
//
//	func main() {
//		open := func(ctx context.Context, url string) (persistence.Archives, error) { return objects.Open(ctx, url) }
//		cmd.Main(game, cmd.WithArchives(open, "s3"))
//	}
//
// The URL is the driver's own, and its path is a prefix of all names: s3://bucket/matches?region=eu-central-1 keeps the
// archive dev/r-7h3k.1f.wind as the object matches/dev/r-7h3k.1f.wind. Credentials come from where the driver looks for
// them, such as AWS_ACCESS_KEY_ID: they do not belong into the URL, which is written into etcd.
//
// An object appears whole or not at all. What an upload that was cut off leaves in parts is invisible, but costs space in
// some stores: let the bucket's life-cycle rules delete incomplete uploads. Each read of a range is one request.
package objects
