# bash completion for pyconfd; `pyconfd completion bash` prints it.
_pyconfd() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$'\n' found last kept
    mapfile -t found < <("$1" completion words --line "$line" 2>/dev/null)
    last=${line##*[[:space:]]}
    COMPREPLY=()
    case ${found[0]-} in
    :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "${last##*=}"); return ;;
    :folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "${last##*=}"); return ;;
    esac
    # bash replaces what follows the last of its word breaks only.
    kept=${last%"${last##*[:=]}"}
    found=("${found[@]%%$'\t'*}")
    COMPREPLY=("${found[@]#"$kept"}")
    [[ ${#found[@]} -gt 1 || ${found[0]-} != *[=/:] ]] || compopt -o nospace
}
complete -F _pyconfd pyconfd
