// Package netsim makes a network worse: packets are delayed, lost one by one or in bursts, held back, doubled, and slowed down to a
// rate. Tests, bots (wind bots --net) and benchmarks play over it.
//
//   - [Conditions] say how bad the network is, as values or as text such as "120ms,25ms,5%,burst=3".
//   - [Path] is one direction of it, without I/O: it turns the time at which a packet is sent into the time at which it arrives. The
//     same seed and the same packets at the same times give the same arrivals.
//   - [Relay] carries UDP packets between clients and a server over paths.
//   - [Dialer] opens sockets whose packets go over such a network.
package netsim
