import Glibc
import Testing

/// Both ends of a pipe, closed with the value.
final class PipePair {
    private(set) var reader: Int32
    private(set) var writer: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        (reader, writer) = (ends[0], ends[1])
        // No child of another test shall keep an end open.
        for end in ends { try #require(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
    }

    func closeReader() {
        close(reader)
        reader = -1
    }

    func closeWriter() {
        close(writer)
        writer = -1
    }

    deinit {
        if reader >= 0 { close(reader) }
        if writer >= 0 { close(writer) }
    }
}
