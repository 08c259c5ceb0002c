package main

import (
	"encoding/json"
	"fmt"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	meta1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	labelvalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// manifests are objects that are applied together, by kind where others refer to them.
type manifests struct {
	*findings
	names       map[string]bool
	namespaces  map[string]bool
	deployments []*apps.Deployment
	services    []*core.Service
}

func judgeManifests(documents []document, findings *findings) {
	all := &manifests{findings: findings, names: map[string]bool{}, namespaces: map[string]bool{}}
	decoder := newDecoder()
	var objects []meta1.Object
	for _, document := range documents {
		object, kind, err := decoder.Decode(document.text, nil, nil)
		if err != nil {
			all.error("%s: %v", document.source, err)
			continue
		}
		accessor, err := meta.Accessor(object)
		if err != nil {
			all.error("%s: %v", document.source, err)
			continue
		}
		key := fmt.Sprintf("%s %s", kind.Kind, accessor.GetName())
		if all.names[key] {
			all.error("%s is there twice", key)
		}
		all.names[key] = true
		all.line("object %s", key)
		all.metadata(key, kind.Kind, accessor)
		switch object := object.(type) {
		case *apps.Deployment:
			all.deployments = append(all.deployments, object)
		case *core.Service:
			all.services = append(all.services, object)
		}
		objects = append(objects, accessor)
	}
	if len(all.namespaces) > 1 {
		all.error("objects of several namespaces refer to each other: %v", all.namespaces)
	}
	for _, object := range objects {
		all.object(object)
	}
}

// reference reports an object that is not one of these: the user must have it.
func (m *manifests) reference(from, kind, name string) {
	if name == "" {
		m.error("%s refers to a %s without a name", from, kind)
	} else if !m.names[kind+" "+name] {
		m.line("reference %s %s", kind, name)
	}
}

// metadata checks names, labels and annotations with the functions of the API server.
func (m *manifests) metadata(key, kind string, object meta1.Object) {
	m.namespaces[object.GetNamespace()] = true
	isValid := validation.NameIsDNSSubdomain
	switch kind {
	case "Service":
		isValid = validation.NameIsDNS1035Label
	case "ServiceAccount":
		isValid = validation.ValidateServiceAccountName
	}
	for _, text := range isValid(object.GetName(), false) {
		m.error("%s: name: %s", key, text)
	}
	path := field.NewPath(key)
	m.all(labelvalidation.ValidateLabels(object.GetLabels(), path.Child("labels")))
	m.all(validation.ValidateAnnotations(object.GetAnnotations(), path.Child("annotations")))
}

func (m *manifests) all(errors field.ErrorList) {
	for _, err := range errors {
		m.error("%v", err)
	}
}

// selects returns true if the selector is valid and has these labels.
func (m *manifests) selects(from string, selector *meta1.LabelSelector, all map[string]string) bool {
	options := labelvalidation.LabelSelectorValidationOptions{}
	m.all(labelvalidation.ValidateLabelSelector(selector, options, field.NewPath(from, "selector")))
	compiled, err := meta1.LabelSelectorAsSelector(selector)
	if err != nil {
		m.error("%s: selector: %v", from, err)
		return false
	}
	// An empty selector has every pod of the namespace.
	return !compiled.Empty() && compiled.Matches(labels.Set(all))
}

// selected returns the pods that a selector has, which must be some.
func (m *manifests) selected(from string, selector *meta1.LabelSelector) []*core.PodTemplateSpec {
	var pods []*core.PodTemplateSpec
	for _, deployment := range m.deployments {
		if m.selects(from, selector, deployment.Spec.Template.Labels) {
			pods = append(pods, &deployment.Spec.Template)
		}
	}
	if len(pods) == 0 {
		m.error("%s selects no pods", from)
	}
	return pods
}

func (m *manifests) object(object meta1.Object) {
	name := object.GetName()
	switch object := object.(type) {
	case *apps.Deployment:
		m.deployment(object)
	case *core.Service:
		m.service(object)
	case *core.ServiceAccount, *core.PersistentVolumeClaim:
	case *core.ConfigMap:
		for key, value := range object.Data {
			text, err := json.Marshal(value)
			if err != nil {
				panic(err)
			}
			m.line("data %s=%s", key, text)
		}
	case *policy.PodDisruptionBudget:
		m.selected("PodDisruptionBudget "+name, object.Spec.Selector)
		if (object.Spec.MinAvailable == nil) == (object.Spec.MaxUnavailable == nil) {
			m.error("PodDisruptionBudget %s needs minAvailable or maxUnavailable", name)
		}
	case *networking.NetworkPolicy:
		m.networkPolicy(object)
	case *networking.Ingress:
		m.ingress(object)
	case *autoscaling.HorizontalPodAutoscaler:
		m.autoscaler(object)
	case *monitoring.ServiceMonitor:
		m.serviceMonitor(object)
	default:
		m.error("%T %s is of a kind without checks", object, name)
	}
}

func (m *manifests) service(service *core.Service) {
	from := "Service " + service.Name
	pods := m.selected(from, &meta1.LabelSelector{MatchLabels: service.Spec.Selector})
	if len(service.Spec.Ports) == 0 {
		m.error("%s has no ports", from)
	}
	for _, port := range service.Spec.Ports {
		m.portName(from, port.Name)
		m.portNumber(from, port.Port)
		for _, pod := range pods {
			if !hasPort(pod, port.TargetPort) {
				m.error("%s: no container has the port %v", from, port.TargetPort.String())
			}
		}
	}
}

func (m *manifests) networkPolicy(networkPolicy *networking.NetworkPolicy) {
	from := "NetworkPolicy " + networkPolicy.Name
	pods := m.selected(from, &networkPolicy.Spec.PodSelector)
	for _, rule := range networkPolicy.Spec.Ingress {
		for _, port := range rule.Ports {
			for _, pod := range pods {
				if port.Port != nil && !hasPort(pod, *port.Port) {
					m.error("%s: no container has the port %v", from, port.Port.String())
				}
			}
		}
		m.peers(from, rule.From)
	}
	for _, rule := range networkPolicy.Spec.Egress {
		m.peers(from, rule.To)
	}
}

func (m *manifests) peers(from string, peers []networking.NetworkPolicyPeer) {
	for _, peer := range peers {
		isBlock, isSelector := peer.IPBlock != nil, peer.PodSelector != nil || peer.NamespaceSelector != nil
		if isBlock == isSelector {
			m.error("%s: a peer is an ipBlock or has selectors", from)
		}
		if isBlock {
			m.network(from, peer.IPBlock.CIDR)
		}
	}
}

func (m *manifests) ingress(ingress *networking.Ingress) {
	from := "Ingress " + ingress.Name
	for _, rule := range ingress.Spec.Rules {
		m.host(from, rule.Host)
		if rule.HTTP == nil {
			m.error("%s: a rule without paths", from)
			continue
		}
		for _, path := range rule.HTTP.Paths {
			if path.PathType == nil || len(path.Path) == 0 || path.Path[0] != '/' {
				m.error("%s: the path %q needs a type and a / at its start", from, path.Path)
			}
			if path.Backend.Service == nil {
				m.error("%s: no service", from)
				continue
			}
			m.serviceWith(from, path.Backend.Service.Name, path.Backend.Service.Port.Name)
		}
	}
}

// serviceWith checks that a service with a named port is there.
func (m *manifests) serviceWith(from, name, port string) {
	for _, service := range m.services {
		for _, known := range service.Spec.Ports {
			if service.Name == name && known.Name == port {
				return
			}
		}
	}
	m.error("%s: no service %s has the port %q", from, name, port)
}

func (m *manifests) autoscaler(autoscaler *autoscaling.HorizontalPodAutoscaler) {
	from, spec := "HorizontalPodAutoscaler "+autoscaler.Name, autoscaler.Spec
	if !m.names[spec.ScaleTargetRef.Kind+" "+spec.ScaleTargetRef.Name] {
		m.error("%s: no %s %s", from, spec.ScaleTargetRef.Kind, spec.ScaleTargetRef.Name)
	}
	if spec.MinReplicas == nil || *spec.MinReplicas < 1 || spec.MaxReplicas < *spec.MinReplicas {
		m.error("%s: from %v to %v pods", from, spec.MinReplicas, spec.MaxReplicas)
	}
	for _, deployment := range m.deployments {
		if deployment.Spec.Replicas != nil {
			m.error("%s and the Deployment both set the number of pods", from)
		}
		for _, metric := range spec.Metrics {
			container := deployment.Spec.Template.Spec.Containers[0]
			if metric.Resource == nil || container.Resources.Requests.Name(metric.Resource.Name, "").IsZero() {
				m.error("%s: a percentage of a resource that no container requests: %v", from, metric)
			}
		}
	}
}

func (m *manifests) serviceMonitor(monitor *monitoring.ServiceMonitor) {
	from := "ServiceMonitor " + monitor.Name
	count := 0
	for _, service := range m.services {
		if !m.selects(from, &monitor.Spec.Selector, service.Labels) {
			continue
		}
		count++
		for _, endpoint := range monitor.Spec.Endpoints {
			m.serviceWith(from, service.Name, endpoint.Port)
			if endpoint.Authorization != nil && endpoint.Authorization.Credentials != nil {
				m.reference(from, "Secret", endpoint.Authorization.Credentials.Name)
			}
		}
	}
	if count != 1 || len(monitor.Spec.Endpoints) == 0 {
		m.error("%s selects %d services and has %d endpoints", from, count, len(monitor.Spec.Endpoints))
	}
}

// hasPort returns true if a container of the pod has the port, which is a name or a number.
func hasPort(pod *core.PodTemplateSpec, port intstr.IntOrString) bool {
	for _, container := range pod.Spec.Containers {
		for _, known := range container.Ports {
			if port.Type == intstr.String && known.Name == port.StrVal {
				return true
			}
			if port.Type == intstr.Int && known.ContainerPort == port.IntVal {
				return true
			}
		}
	}
	return false
}
