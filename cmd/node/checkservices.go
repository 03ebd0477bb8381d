package node

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// ValidService returns an error unless a service can have that type.
func ValidService(serviceType string) error {
	switch serviceType {
	case GatewayType:
		return fmt.Errorf("service type %q is taken: it is the gateways'; choose another name", serviceType)
	case rpc.RoomsType:
		return fmt.Errorf("service type %q is taken: the nodes that host rooms have it; choose another name", serviceType)
	}
	return bus.ValidType(serviceType)
}

// CheckServices returns an error if a game's types of service cannot all run.
func CheckServices(services []Service) error {
	seen := map[string]bool{}
	for _, s := range services {
		if err := ValidService(s.Type); err != nil {
			return err
		}
		if seen[s.Type] {
			return fmt.Errorf("two services have the type %q: give each its own, or put all handlers into one", s.Type)
		}
		seen[s.Type] = true
	}
	return nil
}

// StrayScripts describes what a game's scripts have that nothing reads: folders of no service, files that are not scripts,
// and folders without any.
func StrayScripts(scripts fs.FS, services []Service) (strays []string) {
	if scripts == nil {
		return nil
	}
	types := []string{ShardScripts}
	for _, s := range services {
		types = append(types, s.Type)
	}
	entries, _ := fs.ReadDir(scripts, ".") // reading them for a service reports the error
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "."):
		case slices.Contains(types, name):
			strays = append(strays, straysIn(scripts, name)...)
		case path.Ext(name) == ".star":
			strays = append(strays, fmt.Sprintf("%s is not read: it belongs in the folder of a service, %s", name, strings.Join(types, " or ")))
		case e.IsDir():
			hint := fmt.Sprintf("folders are named after a service type, and the game has %s", strings.Join(types, ", "))
			if near := ecs.Nearest(name, types); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			strays = append(strays, fmt.Sprintf("the folder %s is not read: no service has this type (%s)", name, hint))
		}
	}
	return strays
}

// straysIn looks below the folder of a service.
func straysIn(scripts fs.FS, folder string) (strays []string) {
	_ = fs.WalkDir(scripts, folder, func(name string, d fs.DirEntry, err error) error { // what cannot be read is not a stray
		switch {
		case err != nil:
			return nil
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case slices.Contains([]string{".py", ".starlark", ".bzl", ".sky"}, path.Ext(name)):
			strays = append(strays, fmt.Sprintf("%s is not read: the names of scripts end in .star", name))
		}
		return nil
	})
	if modules, err := script.ReadFolder(scripts, folder); err == nil && len(modules) == 0 {
		strays = append(strays, fmt.Sprintf("the folder %s has no scripts: no file below it ends in .star", folder))
	}
	return strays
}
