"""A worker with a fault planted: a connection to its broker that has gone silent is never taken for a lost one."""

from worker import app as composed

app = composed.app
options = dict(app.conf.broker_transport_options)
for guard in ("socket_timeout", "health_check_interval"):
    del options[guard]
app.conf.broker_transport_options = options
