//! One answer as each format streams it, and what a stream tells.

use fingerpost_protocol::{
    Answer, Event, Format, Format::*, Head, SseDecoder, StreamReader, Translator, Usage,
};
use serde_json::Value;

/// One answer as each format streams it: a signed thought, a text, two calls, usage.
pub(crate) const CHAT: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

: keep-alive

data: {"choices":[{"index":0,"delta":{"reasoning_content":"Let me "}}]}

data: {"choices":[{"index":0,"delta":{"reasoning_content":"think"}}]}

data: {"choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"thinking","thinking":"Let me think","signature":"sig"}]}}]}

data: {"choices":[{"index":0,"delta":{"content":"Hello, "},"logprobs":{"content":[{"token":"Hello","logprob":-0.5,"bytes":[72],"top_logprobs":[]}]}}]}

data: {"choices":[{"index":0,"delta":{"content":"wörld"},"logprobs":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\":"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"find","arguments":"{}"}}]}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12,"total_tokens":42,"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":4}}}

data: [DONE]

"#;

pub(crate) const MESSAGES: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":5,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me think"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello, wörld"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_a","name":"look","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"call_b","name":"find","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":12,"output_tokens_details":{"thinking_tokens":4}}}

event: message_stop
data: {"type":"message_stop"}

"#;

pub(crate) const RESPONSES: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","output":[]}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}

event: response.reasoning_summary_part.added
data: {"type":"response.reasoning_summary_part.added","sequence_number":2,"output_index":0,"summary_index":0,"item_id":"rs_1","part":{"type":"summary_text","text":""}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","sequence_number":3,"output_index":0,"summary_index":0,"item_id":"rs_1","delta":"Let me think"}

event: response.reasoning_summary_text.done
data: {"type":"response.reasoning_summary_text.done","sequence_number":4,"output_index":0,"summary_index":0,"item_id":"rs_1","text":"Let me think"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":5,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Let me think"}],"encrypted_content":"anthropic-signature:sig"}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":6,"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":7,"output_index":1,"content_index":0,"item_id":"msg_1","delta":"Hello, ","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":8,"output_index":1,"content_index":0,"item_id":"msg_1","delta":"wörld","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":9,"output_index":1,"content_index":0,"item_id":"msg_1","text":"Hello, wörld","logprobs":[]}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":10,"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_a","name":"look","arguments":"","status":"in_progress"}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":11,"output_index":2,"item_id":"fc_1","delta":"{\"q\":1}"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":12,"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_a","name":"look","arguments":"{\"q\":1}","status":"completed"}}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":13,"output_index":3,"item":{"id":"fc_2","type":"function_call","call_id":"call_b","name":"find","arguments":"{}","status":"completed"}}

event: response.completed
data: {"type":"response.completed","sequence_number":14,"response":{"id":"resp_1","status":"completed","incomplete_details":null,"output":[],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":20,"cache_write_tokens":5},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":42}}}

"#;

pub(crate) const USAGE: Usage = Usage {
    input: 30,
    cached_input: 20,
    cache_write: 5,
    output: 12,
    reasoning: 4,
};

pub(crate) fn fixture(format: Format) -> &'static str {
    match format {
        Chat => CHAT,
        Responses => RESPONSES,
        Messages => MESSAGES,
    }
}

pub(crate) fn head() -> Head {
    Head {
        id: "x1".to_owned(),
        created: 7,
        model: "shown".to_owned(),
        echo: None,
    }
}

/// The wire's events: name and data.
pub(crate) fn wire(stream: &[u8]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut decoder = SseDecoder::default();
    let mut take = |e: fingerpost_protocol::SseEvent<'_>| {
        out.push((e.name.to_owned(), String::from_utf8(e.data.to_vec()).unwrap()));
    };
    decoder.feed(stream, &mut take).unwrap();
    decoder.finish(&mut take);
    out
}

/// The answer that a stream tells, as a Messages body: it has all of it in order.
pub(crate) fn told(format: Format, stream: &[u8]) -> Value {
    let mut reader = StreamReader::new(format);
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut decoder = SseDecoder::default();
    decoder
        .feed(stream, |e| {
            reader.read(&e, |event| events.push(own(&event))).unwrap();
        })
        .unwrap();
    assert_eq!(reader.missing(), None, "{format}");
    let (answer, error) = Answer::collect(events);
    assert_eq!(error, None);
    serde_json::from_slice(&answer.to_body(Messages, &head())).unwrap()
}

pub(crate) fn own(event: &Event<'_>) -> Event<'static> {
    match event {
        Event::Start => Event::Start,
        Event::Text { text, .. } => Event::text(text.clone().into_owned()),
        Event::Refusal(text) => Event::Refusal(text.clone().into_owned().into()),
        Event::Reasoning(text) => Event::Reasoning(text.clone().into_owned().into()),
        Event::Seal(seal) => Event::Seal(seal.clone().into_owned()),
        Event::ToolCallStart {
            index,
            id,
            name,
            custom,
        } => Event::ToolCallStart {
            index: *index,
            id: id.clone().into_owned().into(),
            name: name.clone().into_owned().into(),
            custom: *custom,
        },
        Event::ToolCallArguments { index, json } => Event::ToolCallArguments {
            index: *index,
            json: json.clone().into_owned().into(),
        },
        Event::Finish(finish) => Event::Finish(*finish),
        Event::Usage(usage) => Event::Usage(*usage),
        Event::Error(error) => Event::Error(error.clone()),
        Event::Citation(citation) => Event::Citation(citation.to_static()),
        other => panic!("an event that this test does not know: {other:?}"),
    }
}

pub(crate) fn translate(from: Format, to: Format, stream: &[u8]) -> (Vec<u8>, Translator) {
    let mut translator = Translator::new(from, to, head(), true);
    let mut out = Vec::new();
    translator.feed(stream, &mut out).unwrap();
    translator.finish(&mut out).unwrap();
    (out, translator)
}

/// What marks a stream of the format as whole.
pub(crate) fn marked_whole(format: Format, stream: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stream);
    match format {
        Chat => text.contains("[DONE]") || text.contains("\"finish_reason\":\""),
        Responses => text.contains("response.completed") || text.contains("response.incomplete"),
        Messages => text.contains("message_stop") || text.contains("message_delta"),
    }
}
