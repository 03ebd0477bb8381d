//go:build race

package ecs_test

const raceDetector = true
