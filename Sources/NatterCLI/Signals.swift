internal import Glibc

/// What signals do to a command.
public enum Signals {
    /// To be called first of all: a write to a closed pipe becomes an error of that write, SIGINT ends the process with
    /// 130, and files that are opened later never get the number of a standard descriptor that was closed.
    ///
    /// A child inherits that SIGPIPE is ignored: whoever starts one gives it the default back
    /// (`posix_spawnattr_setsigdefault`).
    public static func prepareProcess() {
        reserveStandardDescriptors()
        _ = signal(SIGPIPE, SIG_IGN)
        exitOnInterrupt()
    }

    /// SIGINT, unless it is ignored as for a job in the background, puts a hidden terminal right and ends the process.
    public static func exitOnInterrupt() {
        HiddenTerminal.prepare()
        if isIgnored(SIGINT) { return }
        _ = signal(SIGINT) { _ in
            HiddenTerminal.restoreFromHandler()
            _exit(130)
        }
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // SIG_IGN is 1 as a pointer; a C function pointer can't be compared but by its bits.
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    /// Keeps SIGINT from ending the process, for a command that waits for a child which gets it too. The child starts
    /// with the default.
    public static func leaveInterruptToChild() {
        _ = signal(SIGINT) { _ in }
    }

    /// The child that gets what we are sent; 0 where there is none. Of a memory of its own, as a handler may only touch what
    /// is there already.
    nonisolated(unsafe) private static let receiver: UnsafeMutablePointer<pid_t> = {
        let pointer = UnsafeMutablePointer<pid_t>.allocate(capacity: 1)
        pointer.initialize(to: 0)
        return pointer
    }()

    /// Sends on to a child, from now on, the signals that ask this process alone to end; nil gives them their default back.
    /// What is ignored, as SIGHUP under nohup(1), stays so, for the child too.
    public static func passOn(to child: Int32?) {
        receiver.pointee = child ?? 0
        for number in [SIGTERM, SIGHUP] where !isIgnored(number) {
            if child == nil {
                _ = signal(number, SIG_DFL)
            } else {
                _ = signal(number) { number in
                    if Signals.receiver.pointee > 0 { kill(Signals.receiver.pointee, number) }
                }
            }
        }
    }

    /// As the C library does for privileged programs: a closed descriptor is filled with one on which the wrong
    /// direction fails, so reading or writing it still is an error.
    private static func reserveStandardDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
        where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
            // The lowest free number is this one, since those below are taken.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

/// The terminal whose echo is off while a password is typed, so that a signal can put it right.
enum HiddenTerminal {
    private struct State {
        var descriptor: Int32 = -1
        var settings = termios()
    }

    /// Memory of its own, never freed: a signal handler may only touch what is there already. It is written by one
    /// thread, before and after the prompt, with the signals blocked that lead to the handler.
    nonisolated(unsafe) private static let state: UnsafeMutablePointer<State> = {
        let pointer = UnsafeMutablePointer<State>.allocate(capacity: 1)
        pointer.initialize(to: State())
        return pointer
    }()

    private static let deadlySignals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

    /// Makes the memory, which a handler must not.
    static func prepare() { _ = state }

    /// Runs `body` with the echo of a terminal off.
    ///
    /// - Returns: nil if its settings can't be changed.
    static func hiding<Result>(_ descriptor: Int32, _ body: () -> Result) -> Result? {
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { return nil }
        let visible = settings
        settings.c_lflag &= ~tcflag_t(ECHO | ECHONL)
        var former: [(Int32, sigaction)] = []
        blockingSignals {
            state.pointee = State(descriptor: descriptor, settings: visible)
            for signal in deadlySignals {
                var action = sigaction()
                var old = sigaction()
                action.__sigaction_handler.sa_handler = { signal in
                    HiddenTerminal.restoreFromHandler()
                    if signal == SIGINT { _exit(130) }
                    _ = Glibc.signal(signal, SIG_DFL)
                    raise(signal)
                }
                if sigaction(signal, &action, &old) == 0 { former.append((signal, old)) }
            }
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
        guard tcsetattr(descriptor, TCSAFLUSH, &settings) == 0 else { return nil }
        return body()
    }

    /// Only calls that signal-safety(7) allows.
    static func restoreFromHandler() {
        if state.pointee.descriptor >= 0 { tcsetattr(state.pointee.descriptor, TCSANOW, &state.pointee.settings) }
    }

    private static func blockingSignals(_ body: () -> Void) {
        var all = sigset_t()
        var former = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, &former)
        body()
        pthread_sigmask(SIG_SETMASK, &former, nil)
    }
}
