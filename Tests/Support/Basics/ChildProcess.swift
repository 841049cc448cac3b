internal import Foundation
package import Glibc

/// A running program. It is killed with its last reference.
package final class ChildProcess {
    /// The target of a standard stream.
    package enum Stream {
        case nothing
        case bytes([UInt8])
        /// A pipe. For input, the test writes to it. Output is collected.
        case pipe
        case path(String)
        /// Append to a file.
        case end(String)
        /// A pipe without a reader.
        case closedPipe
        case descriptor(Int32)

        package static func text(_ text: String) -> Stream { .bytes(Array(text.utf8)) }
    }

    /// The timeout for any step here, long enough for a slow and busy machine.
    package static let patienceMilliseconds = 120_000

    private static let starting = NSLock()

    package let id: pid_t
    private var output: Int32
    private let errors: Int32
    private var input: Int32
    private var collected: [UInt8] = []
    private var reported: [UInt8] = []
    private var status: Int32?

    /// - Parameter environment: the complete environment. Nothing is inherited.
    package init(
        _ path: String, _ words: [String], environment: [String: String],
        input: Stream = .nothing, output: Stream = .pipe, errors: Stream = .pipe
    ) throws {
        // A program that has ended reads nothing any more, which its test finds out.
        Glibc.signal(SIGPIPE, SIG_IGN)
        // No other thread may start a program between the creation of a descriptor and its close-on-exec flag, because
        // that program would inherit the descriptor.
        ChildProcess.starting.lock()
        defer { ChildProcess.starting.unlock() }
        var opened: [Int32] = []
        defer { for descriptor in opened { close(descriptor) } }
        let (childInput, ownInput) = try ChildProcess.open(input, isInput: true, &opened)
        let (childOutput, ownOutput) = try ChildProcess.open(output, isInput: false, &opened)
        let (childErrors, ownErrors) = try ChildProcess.open(errors, isInput: false, &opened)
        (self.input, self.output, self.errors) = (ownInput, ownOutput, ownErrors)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in [childInput, childOutput, childErrors].enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Start the program like a shell, with no signal blocked and none ignored.
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var arguments = ([path] + words).map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, path, &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw Failure("cannot run '\(path)': \(String(cString: strerror(code)))") }
        self.id = id
        Leftovers.add(process: id)
    }

    deinit {
        if status == nil {
            kill(id, SIGKILL)
            _ = wait()
        }
        for descriptor in [input, output, errors] where descriptor >= 0 { close(descriptor) }
    }

    /// - Returns: the program's end and our end, or -1 if there is none.
    private static func open(_ stream: Stream, isInput: Bool, _ opened: inout [Int32]) throws -> (Int32, Int32) {
        func opening(_ path: String, _ flags: Int32) throws -> Int32 {
            let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw Failure("cannot open '\(path)': \(String(cString: strerror(errno)))") }
            opened.append(descriptor)
            return descriptor
        }
        switch stream {
        case .nothing: return (try opening("/dev/null", isInput ? O_RDONLY : O_WRONLY), -1)
        case .path(let path): return (try opening(path, isInput ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC), -1)
        case .end(let path): return (try opening(path, O_WRONLY | O_CREAT | O_APPEND), -1)
        case .descriptor(let descriptor): return (descriptor, -1)
        case .bytes(let bytes):
            // An unnamed file, so that no thread must write while the program reads.
            var template = Array("/tmp/natter-programs-XXXXXX".utf8CString)
            let descriptor = mkstemp(&template)
            guard descriptor >= 0 else { throw Failure("mkstemp: \(errno)") }
            unlink(template)
            opened.append(descriptor)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                guard count > 0 else { throw Failure("cannot write to /tmp: \(errno)") }
                rest = rest.dropFirst(count)
            }
            lseek(descriptor, 0, SEEK_SET)
            return (descriptor, -1)
        case .pipe, .closedPipe:
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw Failure("pipe: \(errno)") }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let (theirs, ours) = isInput ? (ends[0], ends[1]) : (ends[1], ends[0])
            opened.append(theirs)
            if case .pipe = stream { return (theirs, ours) }
            close(ours)
            return (theirs, -1)
        }
    }

    package func signal(_ number: Int32) { kill(id, number) }

    /// Sends a signal and waits for the end of the program.
    @discardableResult
    package func finish(after signal: Int32) -> Outcome {
        self.signal(signal)
        return finish()
    }

    /// Stops the program by SIGSTOP, until SIGCONT. On a busy machine, its threads go on for a while after the signal.
    package func freeze() {
        signal(SIGSTOP)
        var stopped = siginfo_t()
        while waitid(P_PID, id_t(id), &stopped, WSTOPPED | WEXITED | WNOWAIT) != 0, errno == EINTR {}
    }

    package func type(_ text: String) { type(Array(text.utf8)[...]) }

    /// Returns after the program or the pipe to it has accepted all bytes.
    package func type(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Closes the program's input, so that it sees the end.
    package func closeInput() {
        close(input)
        input = -1
    }

    /// Closes our end of the program's output, so that its writes fail.
    package func closeOutput() {
        close(output)
        output = -1
    }

    /// The next line of the program's output, without the newline.
    package func line() throws -> String {
        let deadline = Deadline()
        while true {
            if let end = collected.firstIndex(of: 0x0A) {
                defer { collected.removeFirst(end + 1) }
                return String(decoding: collected[..<end], as: UTF8.self)
            }
            guard try collect(until: deadline, { output }) else {
                throw Failure("the program ended before it wrote a line: \(finish())")
            }
        }
    }

    /// Waits until the program's output contains `text`.
    ///
    /// - Returns: the output up to there. The next call looks behind it.
    @discardableResult
    package func output(until text: String) throws -> String {
        let deadline = Deadline()
        let wanted = Array(text.utf8)
        while true {
            for end in collected.indices where collected[end...].starts(with: wanted) {
                defer { collected.removeFirst(end + wanted.count) }
                return String(decoding: collected[..<(end + wanted.count)], as: UTF8.self)
            }
            guard try collect(until: deadline, { output }) else {
                throw Failure("the program ended before it wrote '\(text)': \(finish())")
            }
        }
    }

    /// Waits until the program's standard error contains `text`.
    package func waitForErrors(_ text: String) throws {
        let deadline = Deadline()
        while !String(decoding: reported, as: UTF8.self).contains(text) {
            guard try collect(until: deadline, { errors }) else {
                throw Failure("the program ended before it wrote '\(text)'")
            }
        }
    }

    /// Waits for the end of the program. Returns its exit code and all output that `line` has not returned.
    package func finish() -> Outcome {
        let deadline = Deadline()
        var isLate = false
        var open = [output, errors].filter { $0 >= 0 }
        while !open.isEmpty, !isLate {
            var requests = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            isLate = poll(&requests, nfds_t(requests.count), deadline.leftMilliseconds) == 0
            for request in requests where request.revents != 0 {
                if !take(request.fd) { open.removeAll { $0 == request.fd } }
            }
        }
        if isLate {
            reported += Array("killed: it did not end in \(ChildProcess.patienceMilliseconds) ms\n".utf8)
            kill(id, SIGKILL)
        }
        return Outcome(
            code: wait(), bytes: collected, errors: String(decoding: reported, as: UTF8.self))
    }

    private func wait() -> Int32 {
        if status == nil {
            Leftovers.remove(process: id)
            var found: Int32 = 0
            while waitpid(id, &found, 0) < 0, errno == EINTR {}
            status = found & 0x7F == 0 ? found >> 8 & 0xFF : 128 + found & 0x7F
        }
        return status ?? -1
    }

    private func collect(until deadline: Deadline, _ stream: () -> Int32) throws -> Bool {
        var request = pollfd(fd: stream(), events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, deadline.leftMilliseconds) != 0 else {
            let last = String(decoding: collected.suffix(2_000), as: UTF8.self).debugDescription
            throw Failure("the program wrote nothing for \(ChildProcess.patienceMilliseconds) ms after \(last)")
        }
        return take(request.fd)
    }

    private func take(_ descriptor: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 { return errno == EINTR || errno == EAGAIN }
        if descriptor == output { collected += buffer[..<count] } else { reported += buffer[..<count] }
        return count > 0
    }
}
