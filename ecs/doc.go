// Package ecs is Wind's deterministic core: a world of entities and components that advances by ticks and
// depends on nothing but its seed and the commands that go in.
package ecs
