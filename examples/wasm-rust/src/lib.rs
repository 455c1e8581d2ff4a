//! A function in Rust: `examples/wasm-rust/build.sh`.

wit_bindgen::generate!({
    path: "../../crates/crn/wit",
    world: "function",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasi::keyvalue::store;
use wasi::logging::logging::{Level, log};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        log(Level::Info, "example", &path);
        let (status, text) = match path.strip_prefix("/aggregates/") {
            _ if path == "/" => (200, "Hello from Wasm".into()),
            Some(name) => match names(name) {
                Ok(names) => (200, names.join("\n")),
                Err(error) => (502, format!("{error:?}")),
            },
            None => (404, "there is nothing here".into()),
        };
        let response = OutgoingResponse::new(Fields::new());
        // It is a number that HTTP knows, and the body is taken once.
        response.set_status_code(status).unwrap();
        let body = response.body().unwrap();
        ResponseOutparam::set(response_out, Ok(response));
        let stream = body.write().unwrap();
        for part in text.as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(part).unwrap();
        }
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
    }
}

/// The members of an aggregate of the program's owner.
fn names(aggregate: &str) -> Result<Vec<String>, store::Error> {
    Ok(store::open(aggregate)?.list_keys(None)?.keys)
}

export!(Function);
