internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem

/// A program that reads the history of another one and prints it as lines of NDJSON: `natter-import-FORMAT`.
///
/// It is called with `FILE`, or with `-` and the name of the file that is its standard input. Its lines on standard error are
/// passed on. `not taken: 3 reactions` there is counted instead, and the last line before a status that is not 0 is the
/// reason of the failure.
///
/// - SeeAlso: natter-formats(5), "Converters".
struct Converter {
    private static let memory = 1 << 30
    /// The environment variables that a converter gets: where programs are, the time zone, and the language of dates.
    private static let variables = ["PATH", "TZ", "TZDIR", "LANG", "LC_ALL", "LC_CTYPE", "LC_TIME"]

    let path: String
    let name: String

    /// Finds the converter of a format: beside this program, then in its checkout, then on `PATH`.
    init(_ format: String, _ arguments: Arguments, _ environment: Environment) throws {
        let isName = (1...32).contains(format.utf8.count) && format.utf8.allSatisfy(Converter.mayBeInName)
        guard isName else {
            throw arguments.error("a format is 1 to 32 of the characters a to z, 0 to 9 and '-', not '\(format)'")
        }
        let name = "natter-import-\(format)"
        let found = Converter.places(environment).map { $0 + "/" + name }.first { path in
            var status = stat()
            return access(path, X_OK) == 0 && stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        }
        guard let found else {
            throw arguments.error("there is no converter '\(name)' beside this program or on PATH")
        }
        (path, self.name) = (found, name)
    }

    private static func mayBeInName(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte.isASCIIDigit || byte == UInt8(ascii: "-")
    }

    private static func places(_ environment: Environment) -> [String] {
        var places: [String] = []
        if let real = realpath("/proc/self/exe", nil) {
            defer { free(real) }
            let parts = String(cString: real).split(separator: "/", omittingEmptySubsequences: false)
            places.append(parts.dropLast(2).joined(separator: "/") + "/libexec/natter")
            if let build = parts.lastIndex(of: ".build") {
                places.append(parts[..<build].joined(separator: "/") + "/tools/import")
            }
        }
        // A relative place would be one in the directory of whatever is imported.
        return places + (environment["PATH"] ?? "").split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
    }

    /// Runs the converter to its end.
    ///
    /// - Parameters:
    ///   - options: come before the file.
    ///   - directory: for its temporary files.
    ///   - take: gets the lines that it prints.
    /// - Returns: how many things it has not taken, by kind.
    /// - Throws: what `take` throws, and the converter's failure; then it has ended.
    func run(
        _ input: ConverterInput, options: [String], directory: String, _ console: Console,
        _ take: (inout LineReader) throws -> Void
    ) throws -> [String: Int] {
        var ends: [(reading: Int32, writing: Int32)] = []
        defer { for end in ends { close(end.reading) } }
        for _ in 0..<2 { ends.append(try Converter.pipe()) }
        var environment = ["TMPDIR": directory, "PATH": "/usr/local/bin:/usr/bin:/bin"]
        for name in Converter.variables {
            if let value = console.environment[name] { environment[name] = value }
        }
        let process: pid_t
        do throws(DiskError) {
            defer { for end in ends { close(end.writing) } }
            process = try LimitedProcess.start(
                path, options + input.words, environment: environment,
                standard: (input.descriptor, ends[0].writing, ends[1].writing), memory: Converter.memory)
        } catch {
            throw failure(error)
        }
        let errors = ConverterErrors(ends[1].reading, console)
        do {
            var lines = LineReader(limit: Limits.bodyBytes) { [output = ends[0].reading] buffer, _ in
                try errors.read(until: output)
                return readWaiting(output, buffer.baseAddress, buffer.count)
            }
            try take(&lines)
        } catch {
            kill(process, SIGKILL)
            Converter.reap(process)
            throw error
        }
        let status = errors.wait(for: process)
        guard status == 0 else { throw failure(status, errors.last) }
        errors.finish()
        return errors.skipped
    }

    private static func pipe() throws(DiskError) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw DiskError(operation: "make a pipe for", path: "a converter") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func reap(_ process: pid_t) {
        retrying { waitpid(process, nil, 0) }
    }

    // MARK: Failures

    private func failure(_ error: DiskError) -> CommandFailure {
        guard error.code == .noSuchFileOrDirectory, let interpreter = interpreter() else {
            return CommandFailure(error)
        }
        return CommandFailure(
            .configuration, code: "no_interpreter",
            "'\(name)' needs '\(interpreter)', which is not there; run 'apt install \(Path.name(of: interpreter))'")
    }

    /// The program that runs a script.
    private func interpreter() -> String? {
        guard let file = try? InputFile(path) else { return nil }
        var head = [UInt8](repeating: 0, count: 256)
        let count = (try? head.withUnsafeMutableBytes { try file.read(into: $0) }) ?? 0
        guard count > 2, head.starts(with: "#!".utf8) else { return nil }
        let line = String(decoding: head[2..<count].prefix { $0 != 0x0A }, as: UTF8.self)
        return line.split(separator: " ").first.map(String.init)
    }

    /// - Parameter status: as waitpid(2) has it.
    private func failure(_ status: Int32, _ reason: String?) -> CommandFailure {
        let code = status >> 8 & 0xFF
        let said = reason.map { Phrase(verbatim: $0) }
        switch (status & 0x7F, code) {
        case (0, ExitCode.usage.rawValue):
            return CommandFailure(.usage, code: "usage", said ?? "'\(name)' does not take these options")
        case (0, ExitCode.noInput.rawValue):
            return CommandFailure(.noInput, code: "cannot_read", said ?? "'\(name)' cannot read the file")
        case (0, _):
            let problem = said ?? "'\(name)' ended with the status \(code)"
            return CommandFailure(.invalidData, code: "bad_file", "\(problem); nothing was imported")
        case (let signal, _):
            return CommandFailure(
                .invalidData, code: "bad_file", "'\(name)' was ended by signal \(signal); nothing was imported")
        }
    }
}

/// The file for a converter: as its standard input, because its reader may not be allowed to open it itself. A directory is
/// named.
final class ConverterInput {
    fileprivate let words: [String]
    fileprivate let descriptor: Int32
    private let isOwn: Bool

    /// - Parameter path: `-` is standard input.
    init(_ path: String) throws(CommandFailure) {
        guard path != "-" else {
            (words, descriptor, isOwn) = (["-"], STDIN_FILENO, false)
            return
        }
        let opened = open(path, O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { throw CommandFailure(unreadable: DiskError(operation: "open", path: path)) }
        var status = stat()
        guard fstat(opened, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            (words, descriptor, isOwn) = (["-", path], opened, true)
            return
        }
        close(opened)
        descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        // A word that begins with '-' would be an option.
        (words, isOwn) = ([path.hasPrefix("-") ? "./" + path : path], true)
    }

    deinit { if isOwn { close(descriptor) } }
}

/// The lines that a converter writes to standard error.
private final class ConverterErrors {
    private let descriptor: Int32
    private let console: Console
    /// How many more lines are passed on.
    private var notes = 1_000
    private var isOpen = true
    private var rest: [UInt8] = []
    private(set) var last: String?
    private(set) var skipped: [String: Int] = [:]

    init(_ descriptor: Int32, _ console: Console) { (self.descriptor, self.console) = (descriptor, console) }

    /// Reads what is there, until something can be read from the other descriptor.
    func read(until output: Int32) throws {
        while isOpen {
            var requests = [
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            ]
            guard retrying({ poll(&requests, 2, -1) }) >= 0 else { return }
            if requests[1].revents != 0 { readErrors() }
            if requests[0].revents != 0 { return }
        }
    }

    /// Waits for the end of the process, and of what it says. Something that it has started may hold the pipe open longer.
    ///
    /// - Returns: its status as waitpid(2) has it.
    func wait(for process: pid_t) -> Int32 {
        var (status, ended): (Int32, pid_t) = (0, 0)
        while ended != process {
            var request = pollfd(fd: isOpen ? descriptor : -1, events: Int16(POLLIN), revents: 0)
            if poll(&request, 1, isOpen ? 20 : 0) > 0 { readErrors() }
            ended = retrying { waitpid(process, &status, isOpen ? WNOHANG : 0) }
            if ended < 0 { return 1 << 8 }
        }
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while isOpen, poll(&request, 1, 0) > 0 { readErrors() }
        line(rest)
        return status
    }

    private func readErrors() {
        var buffer = [UInt8](repeating: 0, count: 1 << 12)
        let count = readWaiting(descriptor, &buffer, buffer.count)
        guard count > 0 else {
            isOpen = false
            return
        }
        rest += buffer[..<count]
        while let end = rest.firstIndex(of: 0x0A) {
            line(Array(rest[..<end]))
            rest.removeFirst(end + 1)
        }
        if rest.count > 1 << 16 {
            line(rest)
            rest = []
        }
    }

    private func line(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes.prefix(2_000), as: UTF8.self)
        let words = text.split(separator: " ")
        if words.count == 4, text.hasPrefix("not taken: "), let count = Int(words[2]), count > 0 {
            let sum = skipped[String(words[3]), default: 0].addingReportingOverflow(count)
            skipped[String(words[3])] = sum.overflow ? .max : sum.partialValue
            return
        }
        finish()
        last = text
    }

    /// Passes the last line on.
    func finish() {
        guard let line = last, notes > 0 else { return }
        console.note(Phrase(verbatim: line))
        notes -= 1
        last = nil
    }
}
