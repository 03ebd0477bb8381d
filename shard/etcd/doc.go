// Package etcd keeps in etcd, under leases, which node owns which shard and which instances a service has.
//
// [StartServer] embeds a server for one machine, [Join] makes a process a node of a cluster (one
// lease, kept alive, one registration), and [Node.Shard] is a shard's [shard.Ownership]: what is
// known of it, the claim, the watch for the owner's disappearance, and the notes beside the key.
//
// [Node.Register] writes an instance of a service under the node's lease, and [Services] is the [discovery.Source] that a
// [discovery.Directory] follows. The selectors, which choose who gets the next player, are in package discovery.
//
// The keys hold JSON that explains itself to whoever reads them with etcdctl:
//
//	/wind/<cluster>/nodes/<id>            a node, its addresses and build (lease)
//	/wind/<cluster>/services/<type>/<id>  an instance of a service, its load and methods (lease)
//	/wind/<cluster>/keys/<name>           a secret that all nodes share (SharedKey)
//	/wind/<cluster>/locks/<name>/<lease>  who waits for a lock, or has it (Lock)
//	/wind/<cluster>/node-lease            the lease of the node that an etcd server is part of: its heir ends it (NodeConfig.Heir)
//	/wind/<cluster>/shards/<id>/spec      what an operator wants the shard to be
//	/wind/<cluster>/shards/<id>/owner     who owns it (lease)
//	/wind/<cluster>/shards/<id>/epoch     the generation of ownership granted last
//	/wind/<cluster>/shards/<id>/lineage   the shard's identity for life
//	/wind/<cluster>/shards/<id>/high      the last sequence that an owner knew of
//	/wind/<cluster>/shards/<id>/attempt   the last start, and how many began with the same tick
//	/wind/<cluster>/shards/<id>/halted    why nobody may claim it
//	/wind/<cluster>/shards/<id>/accepted  what an operator gave up (Shard.AcceptLoss)
package etcd
