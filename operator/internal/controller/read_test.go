package controller

import (
	"testing"

	"github.com/chatfleet/chatfleet/operator/internal/status"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

func TestVolumes(t *testing.T) {
	says := func(used, fullAt uint32, full string) *adminv1.StatusResponse {
		return &adminv1.StatusResponse{VolumeUsedPermille: used, VolumeFullAtPermille: fullAt, FullStore: full}
	}
	for name, test := range map[string]struct {
		answers map[string]*adminv1.StatusResponse
		full    string
		fullest status.Volume
	}{
		"nobody answers":            {},
		"shards have no volume":     {answers: map[string]*adminv1.StatusResponse{"shard-0": says(0, 0, "")}},
		"a system that says naught": {answers: map[string]*adminv1.StatusResponse{"store-0": says(0, 850, "")}},
		"the fullest": {
			answers: map[string]*adminv1.StatusResponse{"store-0": says(100, 850, ""), "store-1": says(300, 850, ""), "shard-0": says(0, 0, "")},
			fullest: status.Volume{Store: "store-1", Used: 300, FullAt: 850},
		},
		"the one that comes to its limit first": {
			answers: map[string]*adminv1.StatusResponse{"store-0": says(600, 700, ""), "store-1": says(700, 850, "")},
			fullest: status.Volume{Store: "store-0", Used: 600, FullAt: 700},
		},
		"of the same the first, and not another each time": {
			answers: map[string]*adminv1.StatusResponse{"store-0": says(600, 850, ""), "store-1": says(600, 850, ""), "store-2": says(600, 850, "")},
			fullest: status.Volume{Store: "store-0", Used: 600, FullAt: 850},
		},
		"another one has said that one is full": {
			answers: map[string]*adminv1.StatusResponse{"store-0": says(100, 850, "store-2")},
			full:    "store-2", fullest: status.Volume{Store: "store-0", Used: 100, FullAt: 850},
		},
	} {
		if full, fullest := volumes(test.answers); full != test.full || fullest != test.fullest {
			t.Errorf("%s: %q, %v", name, full, fullest)
		}
	}
}
