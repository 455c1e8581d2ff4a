;; A component for the tests: what it does depends on the first letter of the path.
;;
;;   /echo      answers with the request's body        /trap    executes `unreachable`
;;   /variable  answers with its first variable        /loop    never ends
;;   /404       answers "missing" with status 404      /memory  takes all memory, then traps
;;   /print     prints the path, answers "printed"     /nothing returns without an answer
;;   /huge      hands all of its memory to the host    /head    answers with a head, then never ends
;;   /stream    answers with zeros without end         /broken  answers "missing", then traps
;;   /drip      answers "missing", then waits for ever  /recurse calls itself without end
;;   /fields    makes host objects without end         /output  prints without end
;;
;; Built like examples/wasm-hello, which explains the parts.
(component
  (import "wasi:io/error@0.2.0" (instance $io
    (export "error" (type (sub resource)))))
  (alias export $io "error" (type $io-error))

  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $io-error (type $io-error))
    (type $failure (variant (case "last-operation-failed" (own $io-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]input-stream.blocking-read" (func
      (param "self" (borrow $input-stream)) (param "len" u64)
      (result (result (list u8) (error $stream-error)))))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))

  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))

  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $output-stream))
    (export "get-stdout" (func (result (own $output-stream))))))

  (import "wasi:http/types@0.2.0" (instance $http
    (alias outer 1 $input-stream (type $input-stream))
    (alias outer 1 $output-stream (type $output-stream))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $incoming-request (sub resource)))
    (export "incoming-body" (type $incoming-body (sub resource)))
    (export "response-outparam" (type $response-outparam (sub resource)))
    (export "outgoing-response" (type $outgoing-response (sub resource)))
    (export "outgoing-body" (type $outgoing-body (sub resource)))
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
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]incoming-request.path-with-query" (func
      (param "self" (borrow $incoming-request)) (result (option string))))
    (export "[method]incoming-request.consume" (func
      (param "self" (borrow $incoming-request)) (result (result (own $incoming-body)))))
    (export "[method]incoming-body.stream" (func
      (param "self" (borrow $incoming-body)) (result (result (own $input-stream)))))
    (export "[constructor]outgoing-response" (func
      (param "headers" (own $fields)) (result (own $outgoing-response))))
    (export "[method]outgoing-response.set-status-code" (func
      (param "self" (borrow $outgoing-response)) (param "status-code" u16) (result (result))))
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
  (alias export $http "incoming-body" (type $incoming-body))
  (alias export $http "response-outparam" (type $response-outparam))

  ;; Texts below 64, results of methods at 512, what the host gives us from 1024.
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "missing")
    (data (i32.const 16) "printed")
    (data (i32.const 32) "\n")
    (global $free (export "free") (mut i32) (i32.const 1024))
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
  (alias core export $memory "free" (core global $memory-free))

  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read") (memory $bytes) (realloc $realloc)))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $bytes)))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $environment (canon lower (func $environment "get-environment") (memory $bytes) (realloc $realloc)))
  (core func $stdout (canon lower (func $stdout "get-stdout")))
  (core func $new-fields (canon lower (func $http "[constructor]fields")))
  (core func $path (canon lower (func $http "[method]incoming-request.path-with-query") (memory $bytes) (realloc $realloc)))
  (core func $consume (canon lower (func $http "[method]incoming-request.consume") (memory $bytes)))
  (core func $body-input (canon lower (func $http "[method]incoming-body.stream") (memory $bytes)))
  (core func $new-response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $set-status (canon lower (func $http "[method]outgoing-response.set-status-code")))
  (core func $response-body (canon lower (func $http "[method]outgoing-response.body") (memory $bytes)))
  (core func $respond (canon lower (func $http "[static]response-outparam.set") (memory $bytes)))
  (core func $body-output (canon lower (func $http "[method]outgoing-body.write") (memory $bytes)))
  (core func $finish (canon lower (func $http "[static]outgoing-body.finish") (memory $bytes) (realloc $realloc)))
  (core func $drop-stream (canon resource.drop $output-stream))
  (core func $drop-input (canon resource.drop $input-stream))
  (core func $drop-incoming (canon resource.drop $incoming-body))

  (core module $function
    (import "host" "read" (func $read (param i32 i64 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "environment" (func $environment (param i32)))
    (import "host" "stdout" (func $stdout (result i32)))
    (import "host" "new-fields" (func $new-fields (result i32)))
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "consume" (func $consume (param i32 i32)))
    (import "host" "body-input" (func $body-input (param i32 i32)))
    (import "host" "new-response" (func $new-response (param i32) (result i32)))
    (import "host" "set-status" (func $set-status (param i32 i32) (result i32)))
    (import "host" "response-body" (func $response-body (param i32 i32)))
    (import "host" "respond" (func $respond (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "body-output" (func $body-output (param i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "drop-stream" (func $drop-stream (param i32)))
    (import "host" "drop-input" (func $drop-input (param i32)))
    (import "host" "drop-incoming" (func $drop-incoming (param i32)))
    (import "host" "memory" (memory 1))
    (import "host" "free" (global $free (mut i32)))
    (global $body (mut i32) (i32.const 0))

    ;; Begins an answer of that status; the stream of its body.
    (func $begin (param $out i32) (param $status i32) (result i32)
      (local $response i32)
      (local.set $response (call $new-response (call $new-fields)))
      (drop (call $set-status (local.get $response) (local.get $status)))
      (call $response-body (local.get $response) (i32.const 512))
      (global.set $body (i32.load (i32.const 516)))
      (call $respond (local.get $out) (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $body-output (global.get $body) (i32.const 512))
      (i32.load (i32.const 516)))
    (func $end (param $stream i32)
      (call $drop-stream (local.get $stream))
      (call $finish (global.get $body) (i32.const 0) (i32.const 0) (i32.const 512)))
    (func $say (param $out i32) (param $status i32) (param $at i32) (param $length i32)
      (local $stream i32)
      (local.set $stream (call $begin (local.get $out) (local.get $status)))
      (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 512))
      (call $end (local.get $stream)))

    (func $echo (param $request i32) (param $out i32)
      (local $incoming i32) (local $input i32) (local $output i32)
      (call $consume (local.get $request) (i32.const 512))
      (local.set $incoming (i32.load (i32.const 516)))
      (call $body-input (local.get $incoming) (i32.const 512))
      (local.set $input (i32.load (i32.const 516)))
      (local.set $output (call $begin (local.get $out) (i32.const 200)))
      (loop $more
        (global.set $free (i32.const 1024))
        (call $read (local.get $input) (i64.const 4096) (i32.const 512))
        (if (i32.eqz (i32.load8_u (i32.const 512))) (then
          (if (i32.load (i32.const 520)) (then
            (call $write (local.get $output) (i32.load (i32.const 516)) (i32.load (i32.const 520)) (i32.const 528))))
          (br $more))))
      (call $drop-input (local.get $input))
      (call $drop-incoming (local.get $incoming))
      (call $end (local.get $output)))

    (func $recurse (param $depth i64) (result i64)
      (i64.add (call $recurse (i64.add (local.get $depth) (i64.const 1))) (local.get $depth)))

    (func (export "handle") (param $request i32) (param $out i32)
      (local $letter i32) (local $path i32) (local $length i32) (local $stream i32)
      (call $path (local.get $request) (i32.const 512))
      (local.set $path (i32.load (i32.const 516)))
      (local.set $length (i32.load (i32.const 520)))
      (local.set $letter (i32.load8_u (i32.add (local.get $path) (i32.const 1))))
      (if (i32.eq (local.get $letter) (i32.const 0x65)) ;; e
        (then (call $echo (local.get $request) (local.get $out)) (return)))
      (if (i32.eq (local.get $letter) (i32.const 0x34)) ;; 4
        (then (call $say (local.get $out) (i32.const 404) (i32.const 0) (i32.const 7)) (return)))
      (if (i32.eq (local.get $letter) (i32.const 0x70)) (then ;; p
        (local.set $stream (call $stdout))
        (call $write (local.get $stream) (local.get $path) (local.get $length) (i32.const 512))
        (call $write (local.get $stream) (i32.const 32) (i32.const 1) (i32.const 512))
        (call $drop-stream (local.get $stream))
        (call $say (local.get $out) (i32.const 200) (i32.const 16) (i32.const 7)) (return)))
      (if (i32.eq (local.get $letter) (i32.const 0x76)) (then ;; v
        (call $environment (i32.const 512))
        (local.set $path (i32.load (i32.const 512)))
        (call $say (local.get $out) (i32.const 200)
          (i32.load offset=8 (local.get $path)) (i32.load offset=12 (local.get $path))) (return)))
      (if (i32.eq (local.get $letter) (i32.const 0x6c)) ;; l
        (then (loop $forever (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x6d)) ;; m
        (then (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)))
      (if (i32.eq (local.get $letter) (i32.const 0x68)) (then ;; h
        (if (i32.eq (i32.load8_u (i32.add (local.get $path) (i32.const 2))) (i32.const 0x75)) (then ;; hu
          (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
          (call $write (call $stdout) (i32.const 0)
            (i32.mul (memory.size) (i32.const 65536)) (i32.const 512))))
        (local.set $stream (call $begin (local.get $out) (i32.const 200)))
        (loop $forever (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x73)) (then ;; s
        (local.set $stream (call $begin (local.get $out) (i32.const 200)))
        (loop $forever
          (call $write (local.get $stream) (i32.const 4096) (i32.const 4096) (i32.const 512))
          (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x62)) (then ;; b
        (local.set $stream (call $begin (local.get $out) (i32.const 200)))
        (call $write (local.get $stream) (i32.const 0) (i32.const 7) (i32.const 512))
        ;; The head and this leave before it fails.
        (call $block (call $subscribe (i64.const 50000000)))
        (unreachable)))
      (if (i32.eq (local.get $letter) (i32.const 0x64)) (then ;; d
        (local.set $stream (call $begin (local.get $out) (i32.const 200)))
        (call $write (local.get $stream) (i32.const 0) (i32.const 7) (i32.const 512))
        (call $block (call $subscribe (i64.const -1)))))
      (if (i32.eq (local.get $letter) (i32.const 0x72)) ;; r
        (then (drop (call $recurse (i64.const 0)))))
      (if (i32.eq (local.get $letter) (i32.const 0x66)) ;; f
        (then (loop $forever (drop (call $new-fields)) (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x6f)) (then ;; o
        (local.set $stream (call $stdout))
        (loop $forever
          (call $write (local.get $stream) (i32.const 16) (i32.const 17) (i32.const 512))
          (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x74)) ;; t
        (then (unreachable)))))
  (core instance $function (instantiate $function (with "host" (instance
    (export "read" (func $read)) (export "write" (func $write))
    (export "subscribe" (func $subscribe)) (export "block" (func $block))
    (export "environment" (func $environment)) (export "stdout" (func $stdout))
    (export "new-fields" (func $new-fields)) (export "path" (func $path))
    (export "consume" (func $consume)) (export "body-input" (func $body-input))
    (export "new-response" (func $new-response)) (export "set-status" (func $set-status))
    (export "response-body" (func $response-body)) (export "respond" (func $respond))
    (export "body-output" (func $body-output)) (export "finish" (func $finish))
    (export "drop-stream" (func $drop-stream)) (export "drop-input" (func $drop-input))
    (export "drop-incoming" (func $drop-incoming))
    (export "memory" (memory $bytes)) (export "free" (global $memory-free))))))

  (func $handle
    (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $function "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
