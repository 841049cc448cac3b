internal import Glibc
internal import NatterSystem

/// How a command reacts to signals.
public enum Signals {
    /// Call this first. After that, writing to a closed pipe or beyond the limit of a file's size is an error of that
    /// write, and SIGINT exits with 130. Files that are opened later never get the number of a closed standard descriptor.
    ///
    /// A child process inherits ignored signals, so code that starts one must restore the default of `ignored`
    /// (`posix_spawnattr_setsigdefault`).
    public static func prepareProcess() {
        reserveStandardDescriptors()
        for number in ignored { _ = signal(number, SIG_IGN) }
        exitOnInterrupt()
    }

    /// The signals that `prepareProcess` ignores, because the error of the call tells more.
    public static let ignored: [Int32] = [SIGPIPE, SIGXFSZ]

    /// Makes SIGINT restore a hidden terminal and exit, unless SIGINT is ignored, as in a background job.
    public static func exitOnInterrupt() {
        HiddenTerminal.prepare()
        if isIgnored(SIGINT) { return }
        _ = signal(SIGINT) { _ in
            HiddenTerminal.restoreFromHandler()
            _exit(130)
        }
    }

    /// Memory for signal handlers. It is allocated in advance and never freed, because a signal handler must not allocate.
    ///
    /// Unchecked: the memory changes only while the handlers' signals are blocked, or in a handler.
    private struct Memory: @unchecked Sendable {
        /// The text that each of the handlers of SIGINT and SIGTERM prints.
        let farewell = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * farewellBytes)
        let farewellCounts = UnsafeMutablePointer<Int>.allocate(capacity: 2)
        let child = UnsafeMutablePointer<Child>.allocate(capacity: 1)

        init() {
            farewell.initialize(repeating: 0, count: 2 * farewellBytes)
            farewellCounts.initialize(repeating: 0, count: 2)
            child.initialize(to: Child())
        }
    }
    private static let memory = Memory()
    private static var farewell: UnsafeMutablePointer<UInt8> { memory.farewell }
    private static var farewellCounts: UnsafeMutablePointer<Int> { memory.farewellCounts }
    private static var child: UnsafeMutablePointer<Child> { memory.child }
    private static let farewellBytes = 1 << 10

    /// Makes SIGINT and SIGTERM print a text on standard error before they end the process: how far the work has come.
    public static func sayOnEnd(interrupted: [UInt8], terminated: [UInt8]) {
        blockingSignals {
            for (index, text) in [interrupted, terminated].enumerated() {
                let count = min(text.count, farewellBytes)
                (farewell + index * farewellBytes).update(from: text, count: count)
                farewellCounts[index] = count
            }
        }
        handle([SIGINT, SIGTERM]) { number in
            let index = number == SIGINT ? 0 : 1
            let beginning = Signals.farewell + index * Signals.farewellBytes
            // In a chat, this handler takes the place of the one that does so, until the chat ends.
            HiddenTerminal.leaveFromHandler()
            _ = write(STDERR_FILENO, beginning, Signals.farewellCounts[index])
            HiddenTerminal.restoreFromHandler()
            if number == SIGINT { _exit(ExitCode.interrupted.rawValue) }
            _ = signal(number, SIG_DFL)
            raise(number)
        }
    }

    /// Makes SIGINT, SIGTERM and SIGHUP call `clean`, on a thread of its own, before they do what they do otherwise.
    public static func cleanUpOnEnd(_ clean: @escaping @Sendable () -> Void) throws {
        var awaited = sigset_t()
        sigemptyset(&awaited)
        for number in endings + [SIGINT] where !isIgnored(number) { sigaddset(&awaited, number) }
        pthread_sigmask(SIG_BLOCK, &awaited, nil)
        try SystemThread(name: "natter-end") { [awaited] in
            var (awaited, number): (sigset_t, Int32) = (awaited, 0)
            guard sigwait(&awaited, &number) == 0 else { return }
            clean()
            pthread_sigmask(SIG_UNBLOCK, &awaited, nil)
            raise(number)
        }.detach()
    }

    /// Lets them end the process silently again.
    public static func sayNothingOnEnd() {
        for index in 0..<2 { farewellCounts[index] = 0 }
    }

    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // SIG_IGN is 1 as a pointer. Swift can compare C function pointers only by their bits.
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    /// Ignores SIGINT in this process while a child process handles it. The child starts with the default action, unless
    /// SIGINT is ignored, as in a background job.
    public static func leaveInterruptToChild() {
        if isIgnored(SIGINT) { return }
        _ = signal(SIGINT) { _ in }
    }

    /// A child process, as the handlers of signals know it.
    private struct Child {
        /// The process, or minus its process group; 0 if there is none, or not yet.
        var receiver: pid_t = 0
        /// The signal that was forwarded to it, or that waits for it; 0 if there was none.
        var forwarded: Int32 = 0
        /// The end of a pipe from which it reads.
        var input: Int32 = -1
    }

    /// The signals that are forwarded to a child process.
    public enum Forwarded {
        /// SIGTERM and SIGHUP, because they may be sent to this process alone.
        case endings
        /// SIGINT, too, because the terminal does not send it to another process group.
        case all

        fileprivate var numbers: [Int32] { self == .all ? Signals.endings + [SIGINT] : Signals.endings }
    }

    private static let endings = [SIGTERM, SIGHUP]

    /// Forwards signals to a child process. Call it with 0 before the child is started, and with nil, which restores the former
    /// action, when it has ended.
    ///
    /// - Parameter receiver: the process, or minus its process group.
    public static func passOn(_ forwarded: Forwarded, to receiver: Int32?) {
        blockingSignals {
            if receiver == 0 { child.pointee = Child() }
            child.pointee.receiver = receiver ?? 0
            // It came before the child was there.
            if child.pointee.receiver != 0, child.pointee.forwarded > 0 {
                forward(child.pointee.forwarded, to: child.pointee.receiver)
            }
        }
        handle(
            forwarded.numbers,
            receiver == nil
                ? nil
                : { number in
                    Signals.child.pointee.forwarded = number
                    if Signals.child.pointee.receiver != 0 {
                        Signals.forward(number, to: Signals.child.pointee.receiver)
                    }
                })
    }

    /// A stopped receiver, as after reading from the terminal, would get the signal only when it continues.
    private static func forward(_ number: Int32, to receiver: Int32) {
        kill(receiver, number)
        kill(receiver, SIGCONT)
    }

    /// Ends this process by the signal that was forwarded to its last child, if there was one.
    public static func endIfForwarded() {
        let number = child.pointee.forwarded
        if number > 0 { raise(number) }
    }

    /// Waits for all processes of a group that a signal was forwarded to, for a minute at most: in a container, those that have
    /// ended may stay where nobody asks how.
    public static func waitForForwarded(group: Int32) {
        var looks = 0
        while looks < 3_000, child.pointee.forwarded > 0, kill(-group, 0) == 0 {
            // They are this process's own if it is the first of a container.
            while waitpid(-group, nil, WNOHANG) > 0 {}
            usleep(20_000)
            looks += 1
        }
    }

    /// Makes SIGTERM and SIGHUP close the input of a pager and wait until its user quits it, as in git. Otherwise the shell and
    /// the pager would read from the terminal at once. nil restores the default action.
    public static func waitOnEnd(for pager: (process: Int32, input: Int32)?) {
        blockingSignals {
            child.pointee = Child(receiver: pager?.process ?? 0, input: pager?.input ?? -1)
        }
        handle(
            endings,
            pager == nil
                ? nil
                : { number in
                    close(Signals.child.pointee.input)
                    retrying { waitpid(Signals.child.pointee.receiver, nil, 0) }
                    _ = signal(number, SIG_DFL)
                    raise(number)
                })
    }

    /// Sets a handler for signals that are not ignored; nil for the usual action.
    private static func handle(_ numbers: [Int32], _ handler: (@convention(c) (Int32) -> Void)?) {
        for number in numbers where !isIgnored(number) {
            if let handler {
                _ = signal(number, handler)
            } else if number == SIGINT {
                exitOnInterrupt()
            } else {
                _ = signal(number, SIG_DFL)
            }
        }
    }

    /// Opens closed standard descriptors in the wrong direction, as the C library does for privileged programs. So
    /// using them is still an error.
    private static func reserveStandardDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
        where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
            // open() returns this number, because all lower ones are taken.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}
