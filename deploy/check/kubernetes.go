package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Workload is what a manifest runs: the pods that it selects and their template.
type Workload struct {
	Kind      string
	Name      string
	Namespace string
	Selector  *metav1.LabelSelector
	Template  corev1.PodTemplateSpec
}

// String names the workload as kubectl does.
func (w Workload) String() string { return w.Kind + "/" + w.Name }

// Manifests are the objects of some files, by what the checks ask for.
type Manifests struct {
	Objects   []runtime.Object
	Workloads []Workload
}

// DecodeManifests decodes a file of one or more YAML documents strictly: a field that its kind does not have, a field
// given twice, a value of the wrong type and an unknown kind are errors.
func DecodeManifests(data []byte) (Manifests, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, schedulingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return Manifests{}, fmt.Errorf("register Kubernetes types: %w", err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()

	var found Manifests
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return Manifests{}, fmt.Errorf("read document %d: %w", len(found.Objects)+1, err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return Manifests{}, fmt.Errorf("decode document %d: %w", len(found.Objects)+1, err)
		}
		found.Objects = append(found.Objects, object)
		if workload, ok := workloadOf(object); ok {
			found.Workloads = append(found.Workloads, workload)
		}
	}
}

func workloadOf(object runtime.Object) (Workload, bool) {
	switch o := object.(type) {
	case *appsv1.DaemonSet:
		return Workload{Kind: "daemonset", Name: o.Name, Namespace: o.Namespace, Selector: o.Spec.Selector, Template: o.Spec.Template}, true
	case *appsv1.Deployment:
		return Workload{Kind: "deployment", Name: o.Name, Namespace: o.Namespace, Selector: o.Spec.Selector, Template: o.Spec.Template}, true
	}
	return Workload{}, false
}

// Has says whether an object is among the manifests; namespace is empty for what has none.
func (m Manifests) Has(object runtime.Object, namespace, name string) bool {
	return slices.ContainsFunc(m.Objects, func(o runtime.Object) bool {
		meta, ok := o.(metav1.Object)
		return ok && fmt.Sprintf("%T", o) == fmt.Sprintf("%T", object) && meta.GetNamespace() == namespace && meta.GetName() == name
	})
}

// Problems returns the references within the manifests that lead nowhere: what decodes well and yet does not run.
func (m Manifests) Problems() []string {
	var found []string
	for _, w := range m.Workloads {
		report := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("%s: ", w)+fmt.Sprintf(format, args...))
		}
		m.checkWorkload(w, report)
		pod := w.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			checkMounts(c, pod.Volumes, report)
			checkProbes(c, report)
			m.checkSecrets(w.Namespace, c, report)
		}
	}
	return found
}

func (m Manifests) checkWorkload(w Workload, report func(string, ...any)) {
	selector, err := metav1.LabelSelectorAsSelector(w.Selector)
	switch {
	case err != nil:
		report("selector: %v", err)
	case selector.Empty() || !selector.Matches(labels.Set(w.Template.Labels)):
		report("its selector %q does not select its own pods", selector)
	}
	if !m.Has(&corev1.Namespace{}, "", w.Namespace) {
		report("no namespace %q", w.Namespace)
	}
	pod := w.Template.Spec
	if name := pod.PriorityClassName; name != "" && !m.Has(&schedulingv1.PriorityClass{}, "", name) {
		report("no priority class %q", name)
	}
	if name := pod.ServiceAccountName; name != "" && !m.Has(&corev1.ServiceAccount{}, w.Namespace, name) {
		report("no service account %q in namespace %q", name, w.Namespace)
	}
}

func checkMounts(c corev1.Container, volumes []corev1.Volume, report func(string, ...any)) {
	for _, mount := range c.VolumeMounts {
		if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			report("container %s mounts %q, which is no volume of the pod", c.Name, mount.Name)
		}
	}
}

func checkProbes(c corev1.Container, report func(string, ...any)) {
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.Type != intstr.String {
			continue
		}
		name := probe.HTTPGet.Port.StrVal
		if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name }) {
			report("container %s is probed on port %q, which it does not have", c.Name, name)
		}
	}
}

func (m Manifests) checkSecrets(namespace string, c corev1.Container, report func(string, ...any)) {
	for _, env := range c.Env {
		if env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil {
			continue
		}
		ref := env.ValueFrom.SecretKeyRef
		if !slices.ContainsFunc(m.Objects, func(o runtime.Object) bool {
			secret, ok := o.(*corev1.Secret)
			return ok && secret.Namespace == namespace && secret.Name == ref.Name && hasKey(secret, ref.Key)
		}) {
			report("container %s reads %s from key %q of secret %q, which is not there", c.Name, env.Name, ref.Key, ref.Name)
		}
	}
}

func hasKey(secret *corev1.Secret, key string) bool {
	_, text := secret.StringData[key]
	_, data := secret.Data[key]
	return text || data
}
