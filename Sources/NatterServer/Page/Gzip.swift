internal import CZlib

/// Compression by gzip, RFC 1952.
public enum Gzip {
    /// The library with its version, for `--version`.
    public static var library: String { "zlib " + String(cString: zlibVersion()) }

    public enum Effort: Int32, Sendable {
        /// For each answer anew.
        case often = 4
        /// For what is compressed once and sent many times.
        case once = 9
    }

    /// - Returns: nil if memory is short.
    public static func compress(_ bytes: [UInt8], _ effort: Effort) -> [UInt8]? {
        var stream = z_stream()
        // 15 bits of window, and 16 for gzip's header rather than zlib's.
        let header = deflateInit2_(
            &stream, effort.rawValue, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard header == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        var input = bytes
        var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))))
        let result = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(clamping: input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(clamping: output.count)
                return deflate(&stream, Z_FINISH)
            }
        }
        guard result == Z_STREAM_END else { return nil }
        return Array(output.prefix(Int(stream.total_out)))
    }
}
