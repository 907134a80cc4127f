"""The API server for a command that asks, does and ends: nobody reads what it would measure."""

from mesh7_operator import metrics, settings
from mesh7_operator.cluster import connection
from mesh7_operator.cluster.api_server import ApiServer


def api_server(cluster: settings.Cluster) -> ApiServer:
    """The one of these settings; whoever enters it closes it.

    Raises:
        SettingsError: the kubeconfig or the service account cannot be used.
    """
    return ApiServer(connection.connect(cluster), metrics.ApiMetrics(metrics.registry()))
