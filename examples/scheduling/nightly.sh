#!/bin/sh
# One sync, for cron or any other scheduler: nightly.sh MODULE_OR_FILE:CLASS INTEGRATION_ID [OPTION]...
#
# Credentials come from CREDENTIALS_FILE (one JSON object, mode 0600), the workspace's key from SECODA_API_KEY. The working
# directory holds .secoda-async: the last accepted sync is compared with the next one, so keep it.
set -u
target=$1
integration_id=$2
shift 2

mkdir -p reports
report="reports/$(date -u +%Y%m%dT%H%M%SZ).json"
secoda-async run "$target" --credentials-file "$CREDENTIALS_FILE" --upload --integration-id "$integration_id" \
    --report "$report" "$@"
status=$?

case $status in
0) ;;
4) echo "refused: it would remove too much; look at 'secoda-async report $report'" >&2 ;;
6) echo "degraded: a part was carried over or left out; look at 'secoda-async report $report'" >&2 ;;
*) echo "failed with status $status, and delivered nothing; look at 'secoda-async report $report'" >&2 ;;
esac
# cron mails whatever is said; the scheduler sees the status.
exit "$status"
