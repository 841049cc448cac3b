internal import Glibc

public enum SystemInformation {
    /// Processors that are online.
    public static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
