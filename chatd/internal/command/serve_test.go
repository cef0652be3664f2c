package command

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/config"
	"github.com/chatfleet/chatfleet/chatd/internal/node"
)

// Every setting has an effect: what it sets reaches a part, but for what is used here.
func TestEverySettingReachesItsPart(t *testing.T) {
	usedHere := map[string]bool{"Log.Level": true, "Log.Format": true, "Cluster.SecretFile": true}
	base := nodeConfig(config.Defaults("host"))
	var walk func(path []string, typ reflect.Type, field func(*config.Config) reflect.Value)
	walk = func(path []string, typ reflect.Type, field func(*config.Config) reflect.Value) {
		if typ.Kind() == reflect.Struct {
			for i := range typ.NumField() {
				f := typ.Field(i)
				walk(append(path[:len(path):len(path)], f.Name), f.Type, func(c *config.Config) reflect.Value { return field(c).Field(i) })
			}
			return
		}
		name := strings.Join(path, ".")
		c := config.Defaults("host")
		change(name, field(&c))
		if reflect.DeepEqual(nodeConfig(c), base) != usedHere[name] {
			t.Errorf("%s: reaches a part: %v", name, usedHere[name])
		}
	}
	walk(nil, reflect.TypeFor[config.Config](), func(c *config.Config) reflect.Value { return reflect.ValueOf(c).Elem() })
}

func change(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
		if name == "FaultClock" {
			v.SetString("on")
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + int64(time.Second))
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	default:
		list := any([]string{"keys=k"}) // some are read further
		switch name {
		case "Secret":
			list = []byte("secret")
		case "Limits.ExemptAddresses", "TrustedProxies":
			list = []string{"10.0.0.0/8"}
		}
		v.Set(reflect.ValueOf(list))
	}
}

// What the configuration's own checks take, the parts take too: nothing is refused without a place.
func TestPartsTakeWhatTheConfigurationTakes(t *testing.T) {
	secret := func(string) ([]byte, error) { return []byte("sixteen bytes at least"), nil }
	taken := 0
	for _, role := range []string{"store", "shard", "combined"} {
		for _, peers := range []string{"", "a:1", "a:1,b:1", "a:1,b:1,c:1", "a:1,b:1,c:1,d:1", "a:1,b:1,c:1,d:1,e:1"} {
			for _, replicas := range []string{"1", "3", "5"} {
				for _, data := range []string{"", "d"} {
					for _, listen := range []string{"", ":7"} {
						env := []string{"CHATD_ROLE=" + role, "CHATD_CLUSTER_PEERS=" + peers, "CHATD_REPLICAS=" + replicas, "CHATD_DATA=" + data,
							"CHATD_CLUSTER_LISTEN=" + listen, "CHATD_LEAF_LISTEN=:8", "CHATD_STORES=" + strings.ReplaceAll(listen, ":", "s:"),
							"CHATD_CLUSTER_SECRET_FILE=s", "CHATD_TOKEN_KEYS=k"}
						loaded, err := config.Load(config.Inputs{Flags: config.NewFlags("h"), Environ: env, Hostname: "h", ReadFile: secret})
						if err != nil {
							continue
						}
						taken++
						if err := nodeConfig(loaded.Config).Validate(); err != nil {
							t.Errorf("%v: %v", env, err)
						}
					}
				}
			}
		}
	}
	if taken < 10 {
		t.Errorf("only %d of these were taken", taken)
	}
	if (node.Config{}).Validate() == nil {
		t.Error("the parts take anything")
	}
}
