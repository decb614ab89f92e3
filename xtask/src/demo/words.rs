//! Words of a text: maximal runs of letters, lower-cased.

use std::collections::BTreeMap;

/// All words of a text, in order.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// How often each word occurs.
pub(crate) fn count(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words(text) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_run_of_letters_in_lower_case() {
        let found: Vec<String> = words("Don't PANIC: Größe42Ж\n\n--a").collect();
        assert_eq!(found, ["don", "t", "panic", "größe", "ж", "a"]);
    }

    #[test]
    fn words_are_counted_whatever_their_case() {
        let counts = count("The the THE end");
        assert_eq!(counts["the"], 3);
        assert_eq!(counts.len(), 2);
    }
}
