//! Counting tokens.

use super::{Message, Tier};

/// Counts the tokens of a text as a tier's tokenizer would. The same text must always have the same count.
pub trait TokenCounter {
    /// Tokens of `text` for the models of `tier`.
    fn count(&self, text: &str, tier: Tier) -> u64;
}

/// A quarter of the bytes, rounded up, for every tier: what the expected figures of the shared bank were made with.
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesOverFour;

/// A message beside its text: role and separators.
const PER_MESSAGE: u64 = 4;
/// A list of messages beside its messages: the start of the answer.
const PER_LIST: u64 = 2;

/// Tokens of one message.
pub(super) fn of_message(message: &Message, tier: Tier, counter: &dyn TokenCounter) -> u64 {
    counter.count(&message.counted_text(), tier) + PER_MESSAGE
}

/// Tokens of a conversation.
pub(super) fn of_messages(messages: &[Message], tier: Tier, counter: &dyn TokenCounter) -> u64 {
    messages.iter().map(|m| of_message(m, tier, counter)).sum::<u64>() + PER_LIST
}

impl TokenCounter for BytesOverFour {
    fn count(&self, text: &str, _: Tier) -> u64 {
        text.len().div_ceil(4) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_not_letters_and_every_message_has_four_more() {
        assert_eq!(BytesOverFour.count("ä", Tier::Low), 1);
        assert_eq!(BytesOverFour.count("äää", Tier::Low), 2);
        let messages = [Message::new("user", "12345"), Message::new("user", "")];
        assert_eq!(of_messages(&messages, Tier::Low, &BytesOverFour), 2 + 4 + 4 + 2);
    }
}
