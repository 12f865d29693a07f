#!/bin/sh
# Makes the namespace where it is not there. Safe to repeat. The CLI reads TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE.
set -eu

attempts=60
until temporal operator cluster health >/dev/null 2>&1; do
    attempts=$((attempts - 1))
    if [ "$attempts" -le 0 ]; then
        echo "Temporal at $TEMPORAL_ADDRESS is not healthy" >&2
        exit 1
    fi
    sleep 2
done

if temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    echo "Namespace $TEMPORAL_NAMESPACE is there"
else
    temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
fi
