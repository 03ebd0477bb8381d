package detmath_test

import (
	"fmt"

	"github.com/ferris1/wind/ecs/detmath"
)

func ExampleSinCos() {
	// A shot that flies 12 metres per tick in the direction of a turret.
	angle := detmath.Atan2(4, 3)
	sin, cos := detmath.SinCos(angle)
	fmt.Printf("%.6f %.6f\n", float64(12*cos), float64(12*sin))
	// Output: 7.200000 9.600000
}

func ExampleToInt32() {
	cell := detmath.ToInt32(detmath.Floor(-17.25 / 4))
	fmt.Println(cell, detmath.ToInt32(1e300))
	// Output: -5 2147483647
}

func ExampleFixed() {
	price := detmath.FixedFromInt(10).Div(detmath.FixedFromInt(4))
	fmt.Println(price, price.Mul(detmath.FixedFromInt(3)))
	// Output: 2.5 7.5
}
