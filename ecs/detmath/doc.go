// Package detmath provides mathematics for simulation code: the same bits on every CPU, with every compiler setting,
// forever.
//
// Package math promises accuracy, not bits: some of its functions are assembly on one CPU and Go on another, and the Go
// specification lets a compiler fuse x*y + z into one operation with one rounding (arm64 does; amd64 does with
// GOAMD64=v3). Everything here is plain Go. Each product is rounded by an explicit conversion, float64(x*y) + z, or
// belongs to an explicit [math.FMA], which is exact by definition.
//
//	to do this                        use
//	a direction from an angle         [SinCos]
//	an angle from a direction         [Atan2]
//	a distance                        [Hypot], or [Sqrt] if it cannot overflow
//	a float to an integer             [ToInt32] and its kin: saturating, NaN is 0
//	keep a value in a range           [Clamp], [WrapAngle]
//	decay, growth                     [Exp], [Pow], [Log]
//	money, positions without drift    [Fixed], Q32.32
//
// The exact functions of package math (Sqrt, Floor, Ceil, Trunc, Round, Abs, Copysign, Mod, FMA and the bit functions)
// may be used directly; windvet knows them.
//
// # Errors
//
// Bounds in ULP (units in the last place of the result), tested against math/big at hundreds of bits: Sin, Cos, SinCos,
// Exp, Log, Atan, Hypot below 1; Pow below 1; Atan2 below 1.5; Tan, Asin, Acos below 2. Special values follow package
// math. testdata/golden.txt pins the results: changing a single bit of any function breaks the replay of recorded games
// and needs a new format version of the log.
//
// All functions are pure, allocate nothing and may be called concurrently.
package detmath
