// Package rpc is the vocabulary of services: the types that clients, gateways, the bus and the runtime of handlers
// exchange. It runs nothing and depends on Protobuf alone, so that a client can import it.
//
//	messages                      Request, Response, Push, Address, Format
//	how a request fails           Error, Code, Errorf, ErrorOf
//	what a service handles        Method
//	what handlers need            Bus, Store, Rooms; in memory, for tests: MemoryBus, MemoryStore, MemoryRooms
//	payloads                      Encode, Decode; ShortName, AnswerName, FrameID
//	keep a game's ids fixed       Numbers
//
// The runtime of handlers is netcode/service. netcode/bus carries requests over NATS, netcode/gateway forwards those
// of players, and netcode/client sends them.
package rpc
