// Package predict writes a delta's body as what its reader could not have guessed, and gives the body back, byte for byte.
//
// Most of what a tick changes follows from the ticks before: what moves goes on moving. So a value is written as its
// distance from a prediction, and the bytes of a column lie in planes: the first bytes of all values, then the second
// ones. What is left is small numbers and runs of zeros, which an ordinary compressor (package persistence uses zstd)
// takes well, where it finds nothing in the body itself.
//
//	a game's types              LayoutOf
//	body to content, and back   Writer, Reader: one each for a group of consecutive ticks
//
// A Writer chooses how it predicts each word by what would have been right in the group before, and says so in its plan,
// the head of a group's first content: a Reader needs neither schema nor game. FORMAT.md of persistence specifies the
// bytes.
//
// # Decisions
//
// Values are predicted by what the group itself has said, not by the world: a reader can begin at any group and needs no
// world to read on.
//
// Predictions are integer arithmetic on the bits of a word, with one exception. A position to which a velocity is added
// in every tick is predicted exactly by the same addition in floating point, even where the velocity is noise. That is
// one IEEE addition, the same in every language; a product could be fused and is not used.
//
// A body that is not of the writer's layout is carried as it is.
package predict
