//! A resource's URI among those of all servers.
//!
//! A resource keeps the URI that its server gave it, so that links in results, and what clients know by heart, lead to it. Where two
//! servers list the same one, each is shown with its server's name before the scheme: `server+file:///notes.txt`. That is a URI
//! again, its scheme says whose it is, and taking the first part away gives back what the server knows. It may be asked for in any
//! case, also where nobody else lists it, and for what no list names.
//!
//! A scheme holds letters, digits, `+`, `-` and `.`, and begins with a letter. Servers' names hold `_` too, which becomes `.` (they
//! hold none), and may begin with a digit, before which `x..` is put (they hold no `__`): different servers stay different.

/// Longest URI that is taken from a server's list, or matched with a template, in bytes.
pub(crate) const LONGEST: usize = 4096;
/// What Fingerpost's own resources begin with.
pub(crate) const OWN: &str = "fingerpost:";

/// A server's URI with the server's name in it.
pub(crate) fn qualified(server: &str, uri: &str) -> String {
    format!("{}+{uri}", label(server))
}

/// A server's name as it may begin a scheme.
fn label(server: &str) -> String {
    let plain = server.replace('_', ".");
    if server.starts_with(|c: char| c.is_ascii_digit()) {
        format!("x..{plain}")
    } else {
        plain
    }
}

/// Whose it is where a server's name stands before the scheme, as the place of the name in the list, and what that server knows it
/// by.
pub(crate) fn told_apart<'u>(servers: &[&str], uri: &'u str) -> Option<(usize, &'u str)> {
    let (first, rest) = uri.split_once('+')?;
    let place =
        |is_same: fn(&str, &str) -> bool| servers.iter().position(|server| is_same(&label(server), first));
    // Readers of URIs write schemes in small letters.
    let place = place(|a, b| a == b).or_else(|| place(|a, b| a.eq_ignore_ascii_case(b)))?;
    Some((place, rest))
}

#[cfg(test)]
mod tests {
    use fingerpost_agents::mcp::McpServer;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(qualified("files", "file:///a"), "files+file:///a");
        assert_eq!(qualified("my_files-2", "memo:a"), "my.files-2+memo:a");
        assert_eq!(qualified("2nd", "a:b"), "x..2nd+a:b");
        let servers = ["files", "my_files", "Files"];
        assert_eq!(
            told_apart(&servers, "my.files+svn+ssh://h"),
            Some((1, "svn+ssh://h"))
        );
        assert_eq!(told_apart(&servers, "Files+a:b"), Some((2, "a:b")));
        assert_eq!(told_apart(&servers, "FILES+a:b"), Some((0, "a:b")));
        for own in ["file:///a+b", "svn+ssh://h", "files:a", ""] {
            assert_eq!(told_apart(&servers, own), None, "{own}");
        }
    }

    proptest! {
        #[test]
        fn every_server_has_a_scheme_of_its_own(
            a in "[a-zA-Z0-9]([a-zA-Z0-9-]|_[a-zA-Z0-9]){0,5}", b in "[a-zA-Z0-9]([a-zA-Z0-9-]|_[a-zA-Z0-9]){0,5}",
        ) {
            prop_assume!(McpServer::is_name(&a) && McpServer::is_name(&b));
            let label = label(&a);
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            prop_assert!(label.starts_with(|c: char| c.is_ascii_alphabetic()) && label.chars().all(fits), "{}", label);
            prop_assert_eq!(label == super::label(&b), a == b);
        }
    }
}
