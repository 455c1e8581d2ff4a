#!/usr/bin/env bash
# Fuzzes one target, or all one after the other: fuzz.sh [seconds] [target …]
# A finding is left in fuzz/artifacts/<target>/ and ends the script.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds="${1:-60}"
shift || true
command -v cargo-fuzz > /dev/null || cargo install --locked cargo-fuzz
rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
python3 seeds.py corpus
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir .)
for target in "${targets[@]}"; do
    case "$target" in
        envelope | payload | json) longest=262144 ;;
        content_* | archive) longest=65536 ;;
        *) longest=4096 ;;
    esac
    mkdir -p "corpus/$target" "seeds/$target"
    echo "== $target, $seconds s"
    # A slow input is a finding as much as a crash: reading is linear.
    ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=32:malloc_context_size=4" nice -n 19 cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "seeds/$target" -- \
        -dict=json.dict -max_total_time="$seconds" -max_len="$longest" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
