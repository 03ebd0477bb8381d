// Package predict encodes a delta's body as its differences from a prediction, and decodes it to the same bytes.
//
// Most changes in a tick follow from the ticks before: what moves continues to move. So a Writer encodes a value as its
// distance from a prediction, and stores the bytes of a column in planes: the first bytes of all values, then the second
// bytes, and so on. The result is small numbers and runs of zeros. An ordinary compressor (package persistence uses zstd)
// compresses these well, although it can do little with the body itself.
//
//	a game's types              LayoutOf
//	body to content, and back   Writer, Reader: each encodes or decodes groups of consecutive ticks
//
// For each word, a Writer chooses the prediction that would have worked best in the previous group. It writes its choices
// into the plan at the head of a group's first content, so that a Reader needs neither schema nor game. FORMAT.md of
// package persistence specifies the bytes.
//
// # Decisions
//
// Predictions depend only on earlier values of the same group, not on the world: a reader can begin at any group and needs
// no world.
//
// Predictions are integer arithmetic on the bits of a word, with one exception. If a game adds a velocity to a position in
// every tick, the same floating-point addition predicts the position exactly, even if the velocity is noise. That is one
// IEEE addition, the same in every language. Products are not used, because a compiler may fuse them.
//
// A Writer stores a body that does not match its layout unchanged.
package predict
