// Package rpc is the vocabulary of services: what clients, gateways, the bus and the runtime of handlers say to each other.
// It runs nothing and depends on Protobuf alone, so that a client can import it.
//
//	what travels                  Request, Response, Push, Address, Format
//	how a request fails           Error, Code, Errorf, ErrorOf
//	what a service is asked       Method
//	what handlers need            Bus, Store; in memory, for tests: MemoryBus, MemoryStore
//	payloads                      Encode, Decode; ShortName, AnswerName, FrameID
//	hold a game's ids fixed       Numbers
//
// The runtime of handlers is netcode/service. netcode/bus carries requests over NATS, netcode/gateway brings them from
// players, netcode/client sends them.
package rpc
