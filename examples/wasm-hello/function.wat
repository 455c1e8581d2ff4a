;; A function without any toolchain: a WebAssembly component, written by hand.
;;
;; It implements `wasi:http/incoming-handler`: a node calls `handle` with a
;; request and a place for the response; this one answers "Hello from Wasm".
;;
;;   imports (types, methods) ─▶ memory ─▶ lowered methods ─▶ function ─▶ export
;;
;; Deploy it with `beth program deploy examples/wasm-hello`, which assembles the
;; text. Real programs come from Rust (wasm32-wasip2), JavaScript
;; (componentize-js), Python (componentize-py) or Go (TinyGo) and look the same
;; from outside.
(component
  ;; What we use of the host. An import names only what it needs.
  (import "wasi:io/error@0.2.0" (instance $io
    (export "error" (type (sub resource)))))
  (alias export $io "error" (type $io-error))

  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $io-error (type $io-error))
    (type $failure (variant (case "last-operation-failed" (own $io-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))

  (import "wasi:http/types@0.2.0" (instance $http
    (alias outer 1 $output-stream (type $output-stream))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type $response-outparam (sub resource)))
    (export "outgoing-response" (type $outgoing-response (sub resource)))
    (export "outgoing-body" (type $outgoing-body (sub resource)))
    ;; Every way in which HTTP can fail: part of the signatures, never made here.
    (type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error (eq $dns)))
    (type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert (eq $tls)))
    (type $size (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size (eq $size)))
    (type $code (variant
      (case "DNS-timeout") (case "DNS-error" $dns-error)
      (case "destination-not-found") (case "destination-unavailable")
      (case "destination-IP-prohibited") (case "destination-IP-unroutable")
      (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
      (case "connection-read-timeout") (case "connection-write-timeout")
      (case "connection-limit-reached") (case "TLS-protocol-error") (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert) (case "HTTP-request-denied")
      (case "HTTP-request-length-required") (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid") (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long") (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $field-size) (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size) (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $field-size)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout") (case "HTTP-upgrade-failed") (case "HTTP-protocol-error")
      (case "loop-detected") (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $code)))
    (type $refusal (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $refusal)))
    ;; The methods.
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.append" (func
      (param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))
      (result (result (error $header-error)))))
    (export "[constructor]outgoing-response" (func
      (param "headers" (own $fields)) (result (own $outgoing-response))))
    (export "[method]outgoing-response.body" (func
      (param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body)))))
    (export "[static]response-outparam.set" (func
      (param "param" (own $response-outparam))
      (param "response" (result (own $outgoing-response) (error $error-code)))))
    (export "[method]outgoing-body.write" (func
      (param "self" (borrow $outgoing-body)) (result (result (own $output-stream)))))
    (export "[static]outgoing-body.finish" (func
      (param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))
      (result (result (error $error-code)))))))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  ;; The memory comes first: lowering a method needs it.
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "content-type")
    (data (i32.const 16) "text/plain")
    (data (i32.const 32) "Hello from Wasm")
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.sub (i32.add (global.get $free) (local.get $align)) (i32.const 1))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $new-fields (canon lower (func $http "[constructor]fields")))
  (core func $append (canon lower (func $http "[method]fields.append") (memory $bytes)))
  (core func $new-response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $response-body (canon lower (func $http "[method]outgoing-response.body") (memory $bytes)))
  (core func $respond (canon lower (func $http "[static]response-outparam.set") (memory $bytes)))
  (core func $body-stream (canon lower (func $http "[method]outgoing-body.write") (memory $bytes)))
  (core func $finish (canon lower (func $http "[static]outgoing-body.finish")
    (memory $bytes) (realloc $realloc)))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $bytes)))
  (core func $drop-request (canon resource.drop $incoming-request))
  (core func $drop-stream (canon resource.drop $output-stream))

  ;; The function. A method that returns more than one number writes it to the
  ;; address given as its last argument: 512 here, the value 4 bytes further.
  (core module $function
    (import "host" "new-fields" (func $new-fields (result i32)))
    (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "host" "new-response" (func $new-response (param i32) (result i32)))
    (import "host" "response-body" (func $response-body (param i32 i32)))
    (import "host" "respond" (func $respond (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "body-stream" (func $body-stream (param i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "drop-request" (func $drop-request (param i32)))
    (import "host" "drop-stream" (func $drop-stream (param i32)))
    (import "host" "memory" (memory 1))
    (func (export "handle") (param $request i32) (param $response-out i32)
      (local $headers i32) (local $response i32) (local $body i32) (local $stream i32)
      (call $drop-request (local.get $request))
      (local.set $headers (call $new-fields))
      (call $append (local.get $headers) ;; content-type: text/plain
        (i32.const 0) (i32.const 12) (i32.const 16) (i32.const 10) (i32.const 512))
      (local.set $response (call $new-response (local.get $headers))) ;; status 200
      (call $response-body (local.get $response) (i32.const 512))
      (local.set $body (i32.load (i32.const 516)))
      (call $respond (local.get $response-out) (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $body-stream (local.get $body) (i32.const 512))
      (local.set $stream (i32.load (i32.const 516)))
      (call $write (local.get $stream) (i32.const 32) (i32.const 15) (i32.const 512))
      (call $drop-stream (local.get $stream))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 512))))
  (core instance $function (instantiate $function (with "host" (instance
    (export "new-fields" (func $new-fields)) (export "append" (func $append))
    (export "new-response" (func $new-response)) (export "response-body" (func $response-body))
    (export "respond" (func $respond)) (export "body-stream" (func $body-stream))
    (export "finish" (func $finish)) (export "write" (func $write))
    (export "drop-request" (func $drop-request)) (export "drop-stream" (func $drop-stream))
    (export "memory" (memory $bytes))))))

  ;; What we offer.
  (func $handle
    (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $function "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
