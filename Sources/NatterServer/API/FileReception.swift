internal import NatterModel
internal import NatterProtocol
internal import NatterStore
internal import NatterSystem

/// Receives the file of one request. A worker writes one buffer while the listener fills the other; while both are full, nothing
/// is read. So a file of any length takes the memory of two buffers.
final class FileReception: BodySink {
    private static let bufferBytes = 256 << 10

    private let server: ChatServer
    private let principal: Principal
    private let upload: FileUpload
    private let state = Monitor(State())

    private struct State {
        var buffer: [UInt8] = []
        /// The bytes that a worker writes; nil if none does.
        var writing: Int?
        /// Whether nothing is read until the worker is done.
        var isPaused = false
        /// Whether the body is complete.
        var isComplete = false
    }

    init(_ server: ChatServer, _ principal: Principal, _ upload: FileUpload) {
        (self.server, self.principal, self.upload) = (server, principal, upload)
    }

    var heldBytes: Int { state.withLock { $0.buffer.count + ($0.writing ?? 0) } }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        exchange.note(principal, server.store)
        state.withLock { $0.buffer.append(contentsOf: bytes) }
        return goOn(exchange)
    }

    func finish(_ exchange: Exchange) {
        exchange.note(principal, server.store)
        state.withLock { $0.isComplete = true }
        _ = goOn(exchange)
    }

    /// Has a worker write the buffer if it is full, or is the last one.
    ///
    /// - Returns: false if nothing may be read now.
    private func goOn(_ exchange: Exchange) -> Bool {
        let (next, isLast, isPaused) = state.withLock { state -> ([UInt8]?, Bool, Bool) in
            let isFull = state.buffer.count >= FileReception.bufferBytes
            guard isFull || state.isComplete else { return (nil, false, false) }
            guard state.writing == nil else {
                state.isPaused = !state.isComplete
                return (nil, false, state.isPaused)
            }
            defer { state.buffer.removeAll() }
            state.writing = state.buffer.count
            return (state.buffer, state.isComplete, false)
        }
        if let next { write(next, isLast: isLast, exchange) }
        return !isPaused
    }

    private func write(_ bytes: [UInt8], isLast: Bool, _ exchange: Exchange) {
        // To make a large file durable takes long, and must not keep others' pages waiting.
        (isLast ? server.slowWorkers : server.workers).proceed(exchange) { [self] in
            do throws(StoreError) {
                try upload.append(bytes)
                if isLast { return exchange.respond(answer(try upload.finish())) }
            } catch {
                return exchange.respond(APIError(error).reply)
            }
            let wasPaused = state.withLock { state in
                defer { state.isPaused = false }
                state.writing = nil
                return state.isPaused
            }
            // Without a pause, the listener's thread may have come first.
            _ = goOn(exchange)
            if wasPaused { exchange.resume() }
        }
    }

    private func answer(_ file: UploadedFile) -> Reply {
        var reply = Reply.json(
            UploadAnswer(upload: file.upload, name: file.name, type: file.type, size: file.size), status: 201)
        reply.note = principal.name.text
        return reply
    }
}
