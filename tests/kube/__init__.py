"""A Kubernetes API server, scheduler and kubelet for tests: real HTTP, containers as processes."""
