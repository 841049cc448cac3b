internal import Glibc
internal import NatterSystem

/// Turns off a terminal's echo while a password is typed, and lets a signal handler restore it.
public enum HiddenTerminal {
    private struct State {
        var descriptor: Int32 = -1
        var settings = termios()
        /// Those that it has again when the process goes on: without an echo; for a line that is edited, those at its stop.
        var changed: termios?
        /// A process that ends with this one; 0 if there is none.
        var helper: pid_t = 0
        /// Whether a line is edited there, behind which the shell's prompt would stand.
        var isEdited = false
    }

    /// Allocated once and never freed, because a signal handler must not allocate. One thread writes it before and
    /// after the prompt, with the handler's signals blocked.
    nonisolated(unsafe) private static let state: UnsafeMutablePointer<State> = {
        let pointer = UnsafeMutablePointer<State>.allocate(capacity: 1)
        pointer.initialize(to: State())
        return pointer
    }()

    private static let deadlySignals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

    /// Allocates the memory before a handler needs it.
    static func prepare() { _ = state }

    /// Runs `body`, which changes a terminal. A signal that ends the process leaves the terminal as it was before.
    public static func restoring<Result>(_ descriptor: Int32, _ body: () throws -> Result) throws -> Result? {
        try hiding(descriptor, 0, TCSADRAIN, body)
    }

    /// Runs `body` with the echo of a terminal off. The terminal forgets what was typed before.
    ///
    /// - Returns: nil if its settings can't be changed.
    static func hiding<Result, Failure>(
        _ descriptor: Int32, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try hiding(descriptor, ECHO | ECHONL, TCSAFLUSH, body)
    }

    private static func hiding<Result, Failure>(
        _ descriptor: Int32, _ modes: Int32, _ change: Int32, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { return nil }
        let visible = settings
        settings.c_lflag &= ~tcflag_t(modes)
        var former: [(Int32, sigaction)] = []
        blockingSignals {
            state.pointee = State(
                descriptor: descriptor, settings: visible, changed: modes == 0 ? nil : settings, isEdited: modes == 0)
            func handle(_ signal: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
                var action = sigaction()
                var old = sigaction()
                action.__sigaction_handler.sa_handler = handler
                action.sa_flags = SA_RESTART
                if sigaction(signal, &action, &old) == 0 { former.append((signal, old)) }
            }
            for signal in deadlySignals { handle(signal, endFromHandler) }
            // A caller that ignores stops could not continue a stopped process.
            guard !Signals.isIgnored(SIGTSTP) else { return }
            handle(SIGTSTP, stopFromHandler)
            // After a stop by SIGSTOP, the shell may have changed the terminal.
            handle(SIGCONT) { _ in HiddenTerminal.changeFromHandler() }
        }
        defer {
            blockingSignals {
                tcsetattr(descriptor, TCSADRAIN, &state.pointee.settings)
                state.pointee.descriptor = -1
                for (signal, action) in former {
                    var action = action
                    sigaction(signal, &action, nil)
                }
            }
        }
        guard tcsetattr(descriptor, change, &settings) == 0 else { return nil }
        return try body()
    }

    /// Ends the process as the signal does.
    private static let endFromHandler: @convention(c) (Int32) -> Void = { number in
        HiddenTerminal.leaveFromHandler()
        HiddenTerminal.restoreFromHandler()
        if number == SIGINT { _exit(130) }
        _ = signal(number, SIG_DFL)
        raise(number)
    }

    /// Stops the process as the signal does, with the terminal as the shell had it. Without a shell that could let it go on, the
    /// system does not stop it, and no SIGCONT comes.
    private static let stopFromHandler: @convention(c) (Int32) -> Void = { number in
        let error = errno
        var changed = termios()
        if tcgetattr(HiddenTerminal.state.pointee.descriptor, &changed) == 0 {
            HiddenTerminal.state.pointee.changed = changed
        }
        HiddenTerminal.writeFromHandler("\u{1B}[?2004l")
        HiddenTerminal.restoreFromHandler()
        _ = signal(number, SIG_DFL)
        raise(number)
        // It stops here, if it does.
        var (stops, former) = (sigset_t(), sigset_t())
        sigemptyset(&stops)
        sigaddset(&stops, number)
        pthread_sigmask(SIG_UNBLOCK, &stops, &former)
        pthread_sigmask(SIG_SETMASK, &former, nil)
        HiddenTerminal.changeFromHandler()
        _ = signal(number, HiddenTerminal.stopFromHandler)
        errno = error
    }

    /// Names a process that a signal which ends this one ends, too; 0 for none. Call it with 0 before the process is waited
    /// for, because its number may then belong to another one.
    public static func setHelper(_ process: Int32) { state.pointee.helper = process }

    static func leaveFromHandler() {
        if state.pointee.helper > 0 { kill(state.pointee.helper, SIGKILL) }
        // Pasted text is marked no more, and rows below the cursor are clear.
        writeFromHandler("\u{1B}[?2004l\r\n\u{1B}[J")
    }

    /// Writes to a terminal on which a line is edited.
    private static func writeFromHandler(_ text: StaticString) {
        // On a terminal that is stopped by Ctrl-S, a write would wait for Ctrl-Q.
        var request = pollfd(fd: state.pointee.descriptor, events: Int16(POLLOUT), revents: 0)
        guard state.pointee.isEdited, poll(&request, 1, 0) == 1, request.revents == Int16(POLLOUT) else { return }
        _ = write(state.pointee.descriptor, text.utf8Start, text.utf8CodeUnitCount)
    }

    private static func changeFromHandler() {
        let error = errno
        if var changed = state.pointee.changed { tcsetattr(state.pointee.descriptor, TCSANOW, &changed) }
        writeFromHandler("\u{1B}[?2004h")
        errno = error
    }

    /// Calls only functions that signal-safety(7) allows.
    static func restoreFromHandler() {
        if state.pointee.descriptor >= 0 { tcsetattr(state.pointee.descriptor, TCSANOW, &state.pointee.settings) }
    }
}
