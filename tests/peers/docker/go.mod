// The Docker CLI for tests of builds with buildx as its plugin. It has no go.mod, but a vendor.mod that becomes one: this module
// only pins its version, and with go.sum its content.
module bakery.test/docker

go 1.24

require github.com/docker/cli v29.8.2+incompatible // indirect
