package main

import (
	"net/netip"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	labelvalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	security "k8s.io/pod-security-admission/api"
	securitypolicy "k8s.io/pod-security-admission/policy"
)

func (m *manifests) deployment(deployment *apps.Deployment) {
	from, template := "Deployment "+deployment.Name, &deployment.Spec.Template
	if !m.selects(from, deployment.Spec.Selector, template.Labels) {
		m.error("%s does not select its own pods", from)
	}
	m.all(labelvalidation.ValidateLabels(template.Labels, field.NewPath(from, "template", "labels")))
	m.security(from, template)
	m.volumes(from, &template.Spec)
	m.reference(from, "ServiceAccount", template.Spec.ServiceAccountName)
	for _, constraint := range template.Spec.TopologySpreadConstraints {
		if !m.selects(from, constraint.LabelSelector, template.Labels) {
			m.error("%s spreads other pods over %s", from, constraint.TopologyKey)
		}
	}
	for index := range template.Spec.Containers {
		m.container(from, template, &template.Spec.Containers[index])
	}
}

// security checks the pod as the admission controller for the restricted profile does.
func (m *manifests) security(from string, template *core.PodTemplateSpec) {
	evaluator, err := securitypolicy.NewEvaluator(securitypolicy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	level := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			m.error("%s: restricted pods: %s: %s", from, result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

// volumes checks that volumes and mounts belong together.
func (m *manifests) volumes(from string, pod *core.PodSpec) {
	unused := map[string]bool{}
	for _, volume := range pod.Volumes {
		for _, text := range validation.IsDNS1123Label(volume.Name) {
			m.error("%s: volume %q: %s", from, volume.Name, text)
		}
		if _, isKnown := unused[volume.Name]; isKnown {
			m.error("%s: two volumes %s", from, volume.Name)
		}
		unused[volume.Name] = true
		switch source := volume.VolumeSource; {
		case source.Secret != nil:
			m.reference(from, "Secret", source.Secret.SecretName)
		case source.ConfigMap != nil:
			m.reference(from, "ConfigMap", source.ConfigMap.Name)
		case source.PersistentVolumeClaim != nil:
			m.reference(from, "PersistentVolumeClaim", source.PersistentVolumeClaim.ClaimName)
		case source.EmptyDir == nil:
			m.error("%s: volume %s is of a kind without checks", from, volume.Name)
		}
	}
	for _, container := range pod.Containers {
		paths := map[string]bool{}
		for _, mount := range container.VolumeMounts {
			if _, isKnown := unused[mount.Name]; !isKnown {
				m.error("%s: no volume %s", from, mount.Name)
			}
			if paths[mount.MountPath] {
				m.error("%s: two volumes at %s", from, mount.MountPath)
			}
			unused[mount.Name], paths[mount.MountPath] = false, true
		}
	}
	for name, isUnused := range unused {
		if isUnused {
			m.error("%s: volume %s is not mounted", from, name)
		}
	}
}

func (m *manifests) container(from string, template *core.PodTemplateSpec, container *core.Container) {
	for _, text := range validation.IsDNS1123Label(container.Name) {
		m.error("%s: container %q: %s", from, container.Name, text)
	}
	m.image(from, container.Image)
	for _, port := range container.Ports {
		m.portName(from, port.Name)
		m.portNumber(from, port.ContainerPort)
	}
	variables := map[string]bool{}
	for _, variable := range container.Env {
		for _, text := range validation.IsEnvVarName(variable.Name) {
			m.error("%s: variable %q: %s", from, variable.Name, text)
		}
		if variables[variable.Name] {
			m.error("%s: two variables %s", from, variable.Name)
		}
		variables[variable.Name] = true
		if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
			m.reference(from, "Secret", variable.ValueFrom.SecretKeyRef.Name)
		} else if variable.ValueFrom == nil {
			m.line("variable %s=%s", variable.Name, variable.Value)
		}
	}
	for _, source := range container.EnvFrom {
		if source.SecretRef != nil {
			m.reference(from, "Secret", source.SecretRef.Name)
		}
		if source.ConfigMapRef != nil {
			m.reference(from, "ConfigMap", source.ConfigMapRef.Name)
		}
	}
	for _, argument := range container.Args {
		m.line("argument %s", argument)
	}
	m.probe(from, "readiness", template, container.ReadinessProbe)
	m.probe(from, "liveness", template, container.LivenessProbe)
	m.ending(from, template, container)
	for name, limit := range container.Resources.Limits {
		if request, exists := container.Resources.Requests[name]; exists && request.Cmp(limit) > 0 {
			m.error("%s: %s requested and at most %s of %s", from, request.String(), limit.String(), name)
		}
	}
}

func (m *manifests) probe(from, name string, template *core.PodTemplateSpec, probe *core.Probe) {
	if probe == nil {
		m.error("%s has no %s probe", from, name)
		return
	}
	if probe.HTTPGet != nil {
		m.line("probe %s %s %s", name, probe.HTTPGet.Scheme, probe.HTTPGet.Path)
		if !hasPort(template, probe.HTTPGet.Port) {
			m.error("%s: %s probe: no container has the port %v", from, name, probe.HTTPGet.Port.String())
		}
	} else if probe.Exec == nil || len(probe.Exec.Command) == 0 {
		m.error("%s: %s probe is of a kind without checks", from, name)
	}
}

// ending reports the time that the program has after SIGTERM.
func (m *manifests) ending(from string, template *core.PodTemplateSpec, container *core.Container) {
	period := template.Spec.TerminationGracePeriodSeconds
	if period == nil {
		m.error("%s has no terminationGracePeriodSeconds", from)
		return
	}
	left := *period
	if hook := container.Lifecycle; hook != nil && hook.PreStop != nil && hook.PreStop.Sleep != nil {
		if hook.PreStop.Sleep.Seconds < 1 {
			m.error("%s: sleeps %d seconds, which Kubernetes rejects", from, hook.PreStop.Sleep.Seconds)
		}
		left -= hook.PreStop.Sleep.Seconds
	}
	m.line("seconds-to-stop %d", left)
}

func (m *manifests) portName(from, name string) {
	for _, text := range validation.IsValidPortName(name) {
		m.error("%s: port %q: %s", from, name, text)
	}
}

func (m *manifests) portNumber(from string, number int32) {
	for _, text := range validation.IsValidPortNum(int(number)) {
		m.error("%s: port %d: %s", from, number, text)
	}
}

func (m *manifests) host(from, name string) {
	for _, text := range validation.IsDNS1123Subdomain(name) {
		m.error("%s: host %q: %s", from, name, text)
	}
}

func (m *manifests) network(from, text string) {
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Masked() != network {
		m.error("%s: %q is no network", from, text)
	}
}
