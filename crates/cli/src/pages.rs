//! The size of memory pages: small while only requests pass through, so that the allocator's three megabytes do not become
//! twenty; as the system likes them once a model's weights are read at every token. Where the system has no such switch,
//! nothing is lost but memory.

/// From here on huge pages are not used.
pub(crate) fn small() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// From here on the system's setting holds.
#[cfg_attr(not(feature = "local"), allow(dead_code, reason = "only weights need it"))]
pub(crate) fn as_the_system_likes() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(false);
}
