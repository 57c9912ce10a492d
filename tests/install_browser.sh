#!/usr/bin/env bash
# Installs Chromium for the tests of the page, where that can be done without asking: as
# root, on Debian or a relative of it. Elsewhere it says so; these tests then skip.
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "Installing Chromium for the tests of the page ..."
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install -qq -y --no-install-recommends chromium)
    { "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } > /dev/null 2>&1
fi
command -v chromium > /dev/null ||
    echo "There is no Chromium: the tests of the page are skipped."
exit 0
