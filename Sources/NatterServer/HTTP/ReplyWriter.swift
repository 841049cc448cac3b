internal import CMicroHTTPD

/// Feeds a body that is made while it is sent to libmicrohttpd, which owns it as long as the response lives.
final class ReplyWriter {
    private let producer: any BodyProducer
    private let length: Int?
    private let connection: Connection
    private let exchange: Exchange
    private var kept: ArraySlice<UInt8> = []

    private init(_ producer: any BodyProducer, length: Int?, connection: Connection, exchange: Exchange) {
        (self.producer, self.length) = (producer, length)
        (self.connection, self.exchange) = (connection, exchange)
    }

    deinit { producer.closed() }

    /// How much of a body of known length is sent at a time; one in chunks goes by the connection's memory.
    private static let blockBytes = 32 << 10

    /// - Returns: nil if there is no memory for it.
    static func response(
        _ producer: any BodyProducer, length: Int?, connection: Connection, exchange: Exchange
    ) -> OpaquePointer? {
        let writer = ReplyWriter(producer, length: length, connection: connection, exchange: exchange)
        let context = Unmanaged.passRetained(writer)
        let response = MHD_create_response_from_callback(
            length.map { UInt64(clamping: $0) } ?? UInt64.max, blockBytes,
            { context, position, buffer, maximum in
                guard let context, let buffer else { return MHD_CONTENT_READER_END_WITH_ERROR }
                let writer = Unmanaged<ReplyWriter>.fromOpaque(context).takeUnretainedValue()
                return writer.fill(UnsafeMutableRawBufferPointer(start: buffer, count: maximum), at: position)
            }, context.toOpaque(),
            { context in
                if let context { Unmanaged<ReplyWriter>.fromOpaque(context).release() }
            })
        if response == nil { context.release() }
        return response
    }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer, at position: UInt64) -> Int {
        while kept.isEmpty {
            guard !connection.isCut else { return MHD_CONTENT_READER_END_WITH_ERROR }
            switch producer.next(maximum: buffer.count, exchange) {
            case .bytes(let bytes): kept = bytes[...]
            case .wait:
                connection.suspend()
                return 0
            case .end:
                // Fewer bytes than were promised are an incomplete body, however politely they end.
                return length == nil ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR
            case .abort: return MHD_CONTENT_READER_END_WITH_ERROR
            }
        }
        let count = min(kept.count, buffer.count)
        kept.prefix(count).withUnsafeBytes { buffer.copyMemory(from: $0) }
        kept = kept.dropFirst(count)
        connection.bytesOut += count
        return count
    }
}
