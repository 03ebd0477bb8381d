// Package etcd stores in etcd, under leases, which node owns which shard and which instances a service has.
//
// [StartServer] embeds a server for one machine. [Join] makes a process a node of a cluster, with one registration and
// one lease that it keeps alive. [Node.Shard] returns a shard's [shard.Ownership]: its state, the claim, the watch for
// the owner's disappearance, and the notes beside the key.
//
// [Node.Register] writes an instance of a service under the node's lease. [Services] returns the [discovery.Source]
// that a [discovery.Directory] follows. Package discovery contains the selectors, which choose the instance for the
// next player.
//
// The keys contain self-explanatory JSON for people who read them with etcdctl:
//
//	/wind/<cluster>/nodes/<id>            a node, its host, addresses and build (lease)
//	/wind/<cluster>/services/<type>/<id>  an instance of a service, its load and methods (lease)
//	/wind/<cluster>/keys/<name>           a secret that all nodes share (SharedKey)
//	/wind/<cluster>/locks/<name>/<lease>  a process that has a lock or waits for it (Lock)
//	/wind/<cluster>/node-lease            the lease of the node that embeds etcd: its heir revokes it (NodeConfig.Heir)
//	/wind/<cluster>/shards/<id>/spec      the shard's specification by an operator
//	/wind/<cluster>/shards/<id>/owner     the shard's owner (lease)
//	/wind/<cluster>/shards/<id>/epoch     the generation of ownership granted last
//	/wind/<cluster>/shards/<id>/lineage   the shard's identity for life
//	/wind/<cluster>/shards/<id>/high      the last sequence that an owner knew of
//	/wind/<cluster>/shards/<id>/attempt   the last start, and how many began with the same tick
//	/wind/<cluster>/shards/<id>/halted    why nobody may claim it
//	/wind/<cluster>/shards/<id>/accepted  the losses that an operator accepted (Shard.AcceptLoss)
package etcd
