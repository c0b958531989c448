//! Patterns as a shell has them: `*`, `?`, `[a-z]` and `[!a-z]`, over whole names; `/` is a character like others.

/// Whether `text` matches `pattern`. A `[` without its `]` stands for itself.
///
/// Takes at most time in proportion to the product of the two lengths.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // where to go on if the last `*` has to take one character more
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            pattern = rest;
            retry = Some((pattern, text));
            continue;
        }
        let step = match text.split_first() {
            Some((first, rest)) => one(pattern, *first).map(|pattern| (pattern, rest)),
            None if pattern.is_empty() => return true,
            None => return false,
        };
        if let Some(both) = step {
            (pattern, text) = both;
            continue;
        }
        let Some((after_star, [_, rest @ ..])) = retry else {
            return false;
        };
        (pattern, text) = (after_star, rest);
        retry = Some((after_star, rest));
    }
}

/// Whether `text` has characters that only a pattern has.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What is left of the pattern if its first element matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern.split_first()? {
        (b'?', rest) => Some(rest),
        (b'[', rest) => match class(rest, byte) {
            Some((rest, is_match)) => is_match.then_some(rest),
            None => (byte == b'[').then_some(rest),
        },
        (first, rest) => (*first == byte).then_some(rest),
    }
}

/// The pattern after a class of characters, and whether that has `byte`; `None` if it has no end.
fn class(pattern: &[u8], byte: u8) -> Option<(&[u8], bool)> {
    let (is_negated, members) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    // a `]` in the first place is a member
    let end = 1 + members.get(1..)?.iter().position(|member| *member == b']')?;
    let (mut members, rest) = members.split_at_checked(end)?;
    let mut is_member = false;
    while let Some((first, others)) = members.split_first() {
        if let [b'-', last, others @ ..] = others {
            is_member |= (*first..=*last).contains(&byte);
            members = others;
        } else {
            is_member |= *first == byte;
            members = others;
        }
    }
    Some((rest.get(1..)?, is_member != is_negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "a/b"),
            ("a*c", "abcbc"),
            ("*.deb", "x.deb"),
            ("lib?-dev", "liba-dev"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]x]", "]"),
            ("a[b", "a[b"),
            ("**a**", "xxaxx"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("a*c", "abcb"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("[ab", "a"),
            ("*b", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_little_time() {
        assert!(!matches(&format!("{}c", "a*".repeat(100)), &"a".repeat(20_000)));
    }
}
