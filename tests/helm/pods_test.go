package helm_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The longest time that a service takes to end, as in libs/service: 25 s including its drain delay, or 20 s after a longer one, and the
// time for its last traces.
const (
	leave           = 25 * time.Second
	leaveAfterDelay = 20 * time.Second
	traces          = 2 * time.Second
)

const imageID = 65532

// harmfulPods finds permissions of pods that ours do not need: the "restricted" standard, and more.
func harmfulPods(m manifests) []string {
	var r report
	for name, pod := range pods(m) {
		spec := pod.Spec
		r.unless(isFalse(spec.AutomountServiceAccountToken), "%s has a token for the cluster's API", name)
		r.unless(isFalse(spec.EnableServiceLinks), "%s gets variables for every Service", name)
		r.unless(!spec.HostNetwork && !spec.HostPID && !spec.HostIPC, "%s shares a namespace with the node", name)
		sc := spec.SecurityContext
		if sc == nil || !isTrue(sc.RunAsNonRoot) || sc.RunAsUser != nil || sc.RunAsGroup != nil || value(sc.FSGroup) != imageID {
			r.add("%s is not the image's user, or cannot read its secrets", name)
		} else {
			r.unless(sc.SeccompProfile != nil && sc.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "%s may make any system call", name)
		}
		for _, v := range spec.Volumes {
			// Readable by the image's group only.
			if v.Projected != nil {
				r.unless(value(v.Projected.DefaultMode) == 0o440, "%s: its secrets are %o", name, value(v.Projected.DefaultMode))
			}
			r.unless(v.HostPath == nil, "%s mounts the node's %s", name, v.Name)
		}
		r.unless(isShare(c0(pod), 0.9), "%s has no GOMEMLIMIT below its memory limit", name)
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			sc := c.SecurityContext
			if sc == nil {
				r.add("%s has no security context", name)
				continue
			}
			r.unless(isTrue(sc.ReadOnlyRootFilesystem), "%s may write to its root file system", name)
			r.unless(isFalse(sc.AllowPrivilegeEscalation), "%s allows privilege escalation", name)
			r.unless(sc.Capabilities != nil && slices.Contains(sc.Capabilities.Drop, "ALL") && len(sc.Capabilities.Add) == 0, "%s has capabilities", name)
			if !ours(c) {
				continue // the operator sets its resources and folders
			}
			r.unless(!c.Resources.Requests.Cpu().IsZero() && !c.Resources.Requests.Memory().IsZero(), "%s requests no resources", name)
			r.unless(c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()) > 0, "%s may take all memory", name)
			for _, mount := range c.VolumeMounts {
				r.unless(mount.ReadOnly || mount.Name == "cache" || name == "archiver" && mount.Name == "temporary", "%s may write %s", name, mount.MountPath)
			}
		}
	}
	return r.wrong
}

// unwatchedPods finds services without probes, services that are killed before they have finished, and services that may lose all pods at
// once.
func unwatchedPods(m manifests) []string {
	var r report
	for name, d := range services(m) {
		spec, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
		r.unless(probes(c.LivenessProbe, "/livez"), "%s has no probe of /livez", name)
		r.unless(probes(c.ReadinessProbe, "/readyz"), "%s has no probe of /readyz", name)
		r.unless(c.ReadinessProbe == nil || c.ReadinessProbe.FailureThreshold >= 3, "a single slow check makes %s not ready", name)
		r.unless(port(c, "admin") == 9090, "%s has no admin listener on 9090", name)

		cfg, err := settings(m, d.Spec.Template)
		if err != nil {
			continue // another check reports it
		}
		r.unless(len(c.Ports) == 1 || cfg.DrainDelay >= 5*time.Second, "%s closes its listener while clients still connect", name)
		needs := max(leave, cfg.DrainDelay+leaveAfterDelay) + traces
		grace := time.Duration(value(spec.TerminationGracePeriodSeconds)) * time.Second
		r.unless(grace >= needs, "%s gets %v to end, and needs %v", name, grace, needs)

		roll := d.Spec.Strategy.RollingUpdate
		r.unless(roll != nil && roll.MaxUnavailable != nil && *roll.MaxUnavailable == intstr.FromInt32(0), "%s loses pods during a rollout", name)
		r.unless(d.Spec.MinReadySeconds > 0, "%s is available without a delay", name)
		for _, spread := range spec.TopologySpreadConstraints {
			r.unless(spread.LabelSelector != nil && matches(spread.LabelSelector.MatchLabels, d.Spec.Template.Labels), "%s spreads other pods", name)
		}
		r.unless(len(spec.TopologySpreadConstraints) > 0, "%s may run on a single node", name)
	}
	return r.wrong
}

// strangeImages finds images that the Dockerfile does not build.
func strangeImages(m manifests) []string {
	var r report
	for name, pod := range pods(m) {
		program := name
		switch args := pod.Spec.Containers[0].Args; name {
		case "provision":
			program = "signrelay"
			r.unless(slices.Equal(args, []string{"provision"}), "provision does %v", args)
		case "doctor":
			program = "signrelay"
			r.unless(len(args) >= 2 && args[0] == "doctor" && args[1] == "--ingest-url=http://"+strings.TrimSuffix(pod.Name, "doctor")+"ingest:8080", "doctor does %v", args)
		case "kafka-refill":
			program = "signrelay"
			r.unless(len(args) >= 3 && slices.Equal(args[:3], []string{"kafka", "refill", "--yes"}), "kafka-refill does %v", args)
		default:
			r.unless(len(args) == 0, "%s has arguments", name)
		}
		image := pod.Spec.Containers[0].Image
		path, version, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
		path, _, _ = strings.Cut(path, "@")
		r.unless(tagged && version != "" && version != "latest" && path == program, "%s runs %s", name, image)
	}
	return r.wrong
}

// c0 is the pod's container of ours.
func c0(pod core.PodTemplateSpec) core.Container { return pod.Spec.Containers[0] }

// ours reports whether a container is the chart's, and not one of the values.
func ours(c core.Container) bool { return c.Name != "proxy" && c.Name != "wait" }

// isShare reports whether GOMEMLIMIT is this share of the memory limit.
func isShare(c core.Container, share float64) bool {
	for _, e := range c.Env {
		if e.Name == "GOMEMLIMIT" {
			bytes, err := strconv.ParseInt(e.Value, 10, 64)
			return err == nil && bytes == int64(share*float64(c.Resources.Limits.Memory().Value()))
		}
	}
	return false
}

func probes(p *core.Probe, path string) bool {
	return p != nil && p.HTTPGet != nil && p.HTTPGet.Path == path && p.HTTPGet.Port == intstr.FromString("admin") && p.TimeoutSeconds > 2
}

// port is the number of a container's port with this name, or 0.
func port(c core.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// matches reports whether a selector matches these labels. An empty one matches all pods; none of ours may be empty.
func matches(selector, labels map[string]string) bool {
	for key, want := range selector {
		if labels[key] != want {
			return false
		}
	}
	return len(selector) > 0
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
