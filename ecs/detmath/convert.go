package detmath

// If a float does not fit the integer type, the result of a Go conversion depends on the CPU. These functions saturate,
// truncate toward zero like a Go conversion, and turn NaN into 0.

// ToInt8 returns x rounded toward zero and limited to [-128, 127]; NaN gives 0.
func ToInt8(x float64) int8 { return int8(ToInt32(Saturate(x, -1<<7, 1<<7-1))) }

// ToInt16 returns x rounded toward zero and limited to the range of int16; NaN gives 0.
func ToInt16(x float64) int16 { return int16(ToInt32(Saturate(x, -1<<15, 1<<15-1))) }

// ToInt32 returns x rounded toward zero and limited to the range of int32; NaN gives 0.
//
//windvet:allow every conversion below is behind a check of the range
func ToInt32(x float64) int32 {
	switch {
	case x >= 1<<31-1:
		return 1<<31 - 1
	case x <= -1<<31:
		return -1 << 31
	case x != x:
		return 0
	}
	return int32(x)
}

// ToInt64 returns x rounded toward zero and limited to the range of int64; NaN gives 0.
//
//windvet:allow every conversion below is behind a check of the range
func ToInt64(x float64) int64 {
	switch {
	case x >= 1<<63: // the greatest float64 below is exactly convertible
		return 1<<63 - 1
	case x <= -1<<63:
		return -1 << 63
	case x != x:
		return 0
	}
	return int64(x)
}

// ToUint8 returns x rounded toward zero and limited to [0, 255]; NaN gives 0.
func ToUint8(x float64) uint8 { return uint8(ToInt32(Saturate(x, 0, 1<<8-1))) }

// ToUint16 returns x rounded toward zero and limited to [0, 65535]; NaN gives 0.
func ToUint16(x float64) uint16 { return uint16(ToInt32(Saturate(x, 0, 1<<16-1))) }

// ToUint32 returns x rounded toward zero and limited to the range of uint32; NaN gives 0.
func ToUint32(x float64) uint32 { return uint32(ToInt64(Saturate(x, 0, 1<<32-1))) }

// ToUint64 returns x rounded toward zero and limited to the range of uint64; NaN gives 0.
//
//windvet:allow every conversion below is behind a check of the range
func ToUint64(x float64) uint64 {
	switch {
	case x >= 1<<64:
		return 1<<64 - 1
	case x >= 1<<63: // above int64's range some CPUs convert through int64
		return uint64(int64(x-1<<63)) + 1<<63
	case x > 0:
		return uint64(int64(x))
	}
	return 0
}

// ToInt returns x rounded toward zero, for indices. It is limited to the range of int32, so that the result is the same
// where int has 32 bits.
func ToInt(x float64) int { return int(ToInt32(x)) }

// Saturate returns x limited to [lo, hi]. It treats NaN as 0.
func Saturate(x, lo, hi float64) float64 {
	if x != x {
		x = 0
	}
	switch {
	case x > hi:
		return hi
	case x < lo:
		return lo
	}
	return float64(x)
}
