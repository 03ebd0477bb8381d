// Package tags has tags that Setup would refuse.
package tags

import "github.com/ferris1/wind/ecs"

type Position struct {
	X float64    `wind:"quant=1"` // want `the tag wind:"quant=1" has the key "quant": did you mean q\?`
	Y float64    `wind:"q=0.01,range=-1000..1000"`
	A float64    `wind:"range=0..1"` // want `a range without a step`
	B bool       `wind:"q=1"`        // want `only numbers have steps`
	C ecs.Text16 `wind:"q=1"`        // want `only numbers have steps`
	D ecs.Entity `wind:"replicated"`
	E [3]int32   `wind:"range=0..7"`
	F inner      `wind:"q=2"` // want `F.On: the tag wind:"q=2" has q or range on a bool`
	G inner      `wind:"-"`
	H float64    `ecs:"read"`                   // want `the tag ecs:"read" belongs to a field of a query's view`
	I float64    `Wind:"q=1"`                   // want `did you mean wind\?`
	J float64    `wind:"q=1" wind:"range=0..1"` // want `has wind twice`
	K float64    `wind="q=1"`                   // want `is not of the form key:"text"`
	L float64    `json:"l"`
}

type inner struct {
	N  int32
	On bool
}

type view struct {
	Self ecs.Entity      `ecs:"read"`  // want `the tag ecs:"read" has no meaning here`
	P    *Position       `ecs:"raed"`  // want `the tag ecs:"raed" has the word "raed" \(did you mean read\?\), want optional or read`
	V    *inner          `wind:"read"` // want `the tag wind:"read" belongs to a field of a component`
	S    []inner         `ecs:"optional,read"`
	_    ecs.With[inner] `ecs:"optional"` // want `the tag ecs:"optional" has no meaning here`
}
