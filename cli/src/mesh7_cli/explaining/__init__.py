"""Why a pod's call would be allowed: by the bundle that the pod has, wherever it is."""
