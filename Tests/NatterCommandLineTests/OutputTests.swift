import Glibc
import NatterCommandLine
import NatterSystem
import Testing

@Suite("buffered output")
struct OutputTests {
    init() { _ = signal(SIGPIPE, SIG_IGN) }

    private static func read(_ descriptor: Int32, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while bytes.count < count {
            let got = Glibc.read(descriptor, &chunk, min(chunk.count, count - bytes.count))
            if got <= 0 { break }
            bytes += chunk.prefix(got)
        }
        return bytes
    }

    @Test("nothing is written before flush or a full buffer")
    func buffering() throws {
        let pipe = try PipePair()
        let output = Output(descriptor: pipe.writer, name: "pipe")
        try output.write("ab")
        try output.writeLine("c")
        var waiting: Int32 = -1
        _ = ioctl(pipe.reader, UInt(FIONREAD), &waiting)
        #expect(waiting == 0)
        try output.flush()
        #expect(Self.read(pipe.reader, 4) == Array("abc\n".utf8))
        try output.write([UInt8](repeating: 1, count: Output.bufferBytes))
        _ = ioctl(pipe.reader, UInt(FIONREAD), &waiting)
        #expect(Int(waiting) == Output.bufferBytes)
    }

    @Test("a slow reader of a non-blocking pipe gets every byte", .timeLimit(.minutes(5)))
    func slowReader() throws {
        let pipe = try PipePair()
        #expect(fcntl(pipe.writer, F_SETFL, O_NONBLOCK) == 0)
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let received = Monitor<[UInt8]>([])
        let reader = pipe.reader
        let thread = try SystemThread(name: "reader") {
            let all = Self.read(reader, bytes.count)
            received.withLock { $0 = all }
        }
        let output = Output(descriptor: pipe.writer, name: "pipe")
        try output.write(bytes)
        try output.flush()
        thread.join()
        #expect(received.withLock { $0 } == bytes)
    }

    @Test("a closed pipe is its own error, and stays one")
    func closedPipe() throws {
        let pipe = try PipePair()
        pipe.closeReader()
        let output = Output(descriptor: pipe.writer, name: "pipe")
        try output.write("x")
        #expect(throws: OutputError.closedPipe) { try output.flush() }
        #expect(throws: OutputError.closedPipe) { try output.write("y") }
        #expect(throws: OutputError.closedPipe) { try output.flush() }
        #expect(CommandFailure(OutputError.closedPipe).exitCode.rawValue == 141)
    }

    @Test("a full device is an I/O error that names the output")
    func fullDevice() throws {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let output = Output(descriptor: descriptor, name: "standard output")
        try output.write("x")
        #expect(throws: OutputError.failed(code: ENOSPC, name: "standard output")) { try output.flush() }
        let failure = CommandFailure(OutputError.failed(code: ENOSPC, name: "standard output"))
        #expect(failure.exitCode == .inputOutput)
        #expect(failure.message == "cannot write standard output: no space left on device")
    }

    @Test("a closed descriptor is an error, nothing is not")
    func closedDescriptor() throws {
        let output = Output(descriptor: -1, name: "nothing")
        try output.flush()
        try output.write("x")
        #expect(throws: OutputError.failed(code: EBADF, name: "nothing")) { try output.flush() }
        #expect(!output.isTerminal)
        #expect(output.columns(environment: Environment([:])) == 80)
        #expect(output.columns(environment: Environment(["COLUMNS": "132"])) == 132)
        #expect(output.columns(environment: Environment(["COLUMNS": "-1"])) == 80)
    }
}
