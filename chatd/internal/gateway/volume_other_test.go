//go:build !linux

package gateway_test

import "testing"

func smallVolume(testing.TB, string) bool { return false }

func fill(testing.TB, string) {}
