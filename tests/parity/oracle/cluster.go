// What one line of input is: a cluster at one instant, and whose pending pods are asked about.
//
// Objects are taken as they stand, as an API server would have sent them; with -defaults they first get what the API
// server would have set in them (not what its admission plugins and strategies do: no merging of matchLabelKeys into
// selectors, no tolerations by time).

package main

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install"    // the defaults of pods, volumes and claims
	_ "k8s.io/kubernetes/pkg/apis/storage/install" // and of storage classes
)

type request struct {
	SchedulerName string            `json:"schedulerName"`
	Objects       []json.RawMessage `json:"objects"`
}

type cluster struct {
	scheduler string
	nodes     []*v1.Node
	bound     []*v1.Pod        // terminating ones too: they hold what they hold until they are gone
	unbound   []*v1.Pod        // of every scheduler; finished pods are in neither list, as in kube-scheduler's informer
	others    map[string][]any // by kind
	seen      map[string]bool
}

// readCluster fails on anything that would otherwise be lost in silence: unknown kinds, two objects of one name.
func readCluster(line []byte, defaults bool) (*cluster, error) {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, fmt.Errorf("expected {\"schedulerName\": ..., \"objects\": [...]}: %w", err)
	}
	known := &cluster{scheduler: asked.SchedulerName, others: map[string][]any{}, seen: map[string]bool{}}
	for index, raw := range asked.Objects {
		if err := known.add(raw, defaults); err != nil {
			return nil, fmt.Errorf("object %d: %w", index, err)
		}
	}
	return known, nil
}

func (c *cluster) add(raw []byte, defaults bool) error {
	// Drops fields it does not know, matches names by case, and sets no default by itself.
	object, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		return err
	}
	if defaults {
		legacyscheme.Scheme.Default(object)
	}
	name, err := identify(object)
	if err != nil {
		return fmt.Errorf("%s: %w", gvk.Kind, err)
	}
	if c.seen[gvk.Kind+" "+name] {
		return fmt.Errorf("a second %s named %s", gvk.Kind, name)
	}
	c.seen[gvk.Kind+" "+name] = true
	c.sort(gvk.Kind, object)
	return nil
}

// identify gives the object the namespace and the uid that it lacks, and tells its name.
func identify(object runtime.Object) (string, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return "", err
	}
	switch object.(type) {
	case *v1.Pod, *v1.PersistentVolumeClaim:
		if accessor.GetNamespace() == "" {
			accessor.SetNamespace(metav1.NamespaceDefault)
		}
	}
	name := key(accessor)
	if accessor.GetUID() == "" {
		accessor.SetUID(types.UID(name))
	}
	return name, nil
}

func key(object metav1.Object) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

func (c *cluster) sort(kind string, object runtime.Object) {
	switch known := object.(type) {
	case *v1.Node:
		c.nodes = append(c.nodes, known)
	case *v1.Pod:
		switch {
		case known.Status.Phase == v1.PodSucceeded || known.Status.Phase == v1.PodFailed:
		case known.Spec.NodeName != "":
			c.bound = append(c.bound, known)
		default:
			c.unbound = append(c.unbound, known)
		}
	default:
		c.others[kind] = append(c.others[kind], object)
	}
}

// waiting are the pods to be judged: kube-scheduler passes over those that are being deleted.
func (c *cluster) waiting() []*v1.Pod {
	var pods []*v1.Pod
	for _, pod := range c.unbound {
		if pod.Spec.SchedulerName == c.scheduler && pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods
}
