"""Pieces in the manner of the chat templates that well-known models have: tools, roles, thinking,
documents, dates. Written for this test. A line `----` stands between two pieces.
"""

MODELS = r"""
{%- if tools is not none and tools_in_user_message is defined %}x{%- else %}{%- set tools = [] %}{%- endif %}{{ tools | length }}
----
{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}{{ date_string | length }}
----
{%- set builtin_tools = ['brave_search', 'code_interpreter'] %}{{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\n\n" }}
----
{%- set tool_call = {'name': 'f', 'arguments': {'q': 'é', 'n': 1.0}} %}{{- "<|python_tag|>" + tool_call.name + ".call(" }}{%- for arg_name, arg_val in tool_call.arguments | items %}{{- arg_name + '="' + (arg_val | string) + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- ")" }}
----
{%- for message in messages %}{%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}{{- '<|h|>' + message['role'] + '<|/h|>' + message['content'] | trim + '<|eot|>' }}{%- endif %}{%- endfor %}
----
{%- set m = {'tool_calls': [{'function': {'name': 'f', 'arguments': {}}}, 1]} %}{%- if not m.tool_calls | length == 1 %}{{- "many" }}{%- endif %}{%- if m.tool_calls|length != 1 %}!{%- endif %}
----
{{- '{"name": "' + 'f' + '", ' }}{{- '"parameters": ' }}{{- {'a': [1, {'b': none}]} | tojson }}{{- "}" }}
----
{%- if message is defined and message.content is mapping or messages[0].content is iterable %}{{- messages[0].content | tojson }}{%- endif %}
----
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}{{ ns.last_query_index }}{{ ns.multi_step_tool }}
----
{%- if (messages[1].role == "user") or (messages[1].role == "system" and not loop_first) %}{{- '<|im_start|>' + messages[1].role + '\n' + messages[1].content + '<|im_end|>' + '\n' }}{%- endif %}
----
{%- set content = messages[2].content %}{%- set reasoning_content = '' %}{%- if messages[2].reasoning_content is string %}{%- set reasoning_content = messages[2].reasoning_content %}{%- else %}{%- if '</think>' in content %}{%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}{%- endif %}{{- '<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
----
{%- set call = {'function': {'name': 'f', 'arguments': {'a': 1}}} %}{%- if call.function %}{%- set call = call.function %}{%- endif %}{{- '\n<tool_call>\n{"name": "' }}{{- call.name }}{{- '", "arguments": ' }}{%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}{{- '}\n</tool_call>' }}
----
{%- for m in messages %}{%- if m.role == 'tool' %}x{%- elif loop.first or (messages[loop.index0 - 1].role != m.role) %}{{- '[' ~ m.role ~ ']' }}{%- endif %}{%- if loop.last or (messages[loop.index0 + 1].role != m.role) %}{{- '.' }}{%- endif %}{%- endfor %}
----
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- elif add_generation_prompt %}{{- '<think>\n' }}{%- endif %}
----
{%- macro render_content(content) %}{%- if content is string %}{{- content }}{%- else %}{%- for item in content %}{%- if item.type == 'image' or 'image' in item or 'image_url' in item %}<|image_pad|>{%- elif 'text' in item %}{{- item.text }}{%- endif %}{%- endfor %}{%- endif %}{%- endmacro %}{{ render_content('a') }}{{ render_content([{'type': 'image'}, {'text': 'b'}]) }}
----
{%- set image_count = namespace(value=0) %}{%- for c in [{'type': 'image'}, {'type': 'text', 'text': 't'}, {'type': 'image'}] %}{%- if c.type == 'image' %}{%- set image_count.value = image_count.value + 1 %}{%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}<|v|>{%- else %}{{ c.text }}{%- endif %}{%- endfor %}{{ image_count.value }}
----
{%- macro render_extra_keys(json_dict, handled_keys) -%}{%- if json_dict is mapping %}{%- for json_key in json_dict if json_key not in handled_keys %}{%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}{{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}{%- else %}{{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string) ~ '</' ~ json_key ~ '>' }}{%- endif %}{%- endfor %}{%- endif %}{%- endmacro -%}{{ render_extra_keys({'name': 'n', 'min': 1, 'enum': ['a'], 'd': {'x': 1.5}}, ['name']) }}
----
{%- set args = {'path': 'a.txt', 'n': 3, 'l': [1, 'x'], 't': true} %}{%- for k, v in args.items() %}<arg_key>{{ k }}</arg_key><arg_value>{{ v | tojson if v is not string else v }}</arg_value>{%- endfor %}
----
{%- for args_name, args_value in {'a': {'b': 1}, 'c': 'd', 'e': none}|items %}{{- '<parameter=' + args_name + '>\n' }}{%- set args_value = args_value | tojson | safe if args_value is mapping or (args_value is sequence and args_value is not string) else args_value | string %}{{- args_value }}{{- '\n</parameter>\n' }}{%- endfor %}
----
{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}{%- for message in loop_messages %}{%- if message["role"] == "user" %}{%- if loop.last and system_message is defined %}{{- "[INST]" + system_message + "\n\n" + message["content"] + "[/INST]" }}{%- else %}{{- "[INST]" + message["content"] + "[/INST]" }}{%- endif %}{%- elif message["role"] == "assistant" %}{{- message["content"] + eos_token}}{%- endif %}{%- endfor %}{{ user_messages | length }}
----
{%- set ns = namespace() %}{%- set ns.index = 0 %}{%- for message in messages[1:] %}{%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}{%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("roles must alternate") }}{%- endif %}{%- set ns.index = ns.index + 1 %}{%- endif %}{%- endfor %}{{ ns.index }}
----
{%- for tool in [{'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {}, 'return': 1}}] %}{%- set tool = tool.function %}{{- '{"type": "function", "function": {' }}{%- for key, val in tool.items() if key != "return" %}{%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}{%- endfor %}
----
{%- set tool_call = {'id': 'abcdefghi', 'function': {'name': 'f'}} %}{%- set out = tool_call.function|tojson %}{{- out[:-1] }}{%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs should be 9 characters") }}{%- endif %}{{- ', "id": "' + tool_call.id + '"}' }}
----
{%- set today = strftime_now("%Y-%m-%d") %}{%- set parts = today.split('-') %}{{ parts | length }}{{ parts[1] | length }}{{ (parts[0] | int) > 2000 }}
----
{%- set default_system_message = "You are X.\nToday is {today}." %}{{- default_system_message.replace("{today}", "D").replace("\n", " ") }}
----
{%- if messages[0]['role'] == 'system' -%}{%- if messages[0]['content'] is string -%}{%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- else -%}{%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}{%- endif -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}{%- endif -%}{%- for message in loop_messages -%}{%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{'<start_of_turn>model\n'}}{%- endif -%}
----
{%- if (messages[1]['role'] == 'user') != (0 % 2 == 0) -%}{{ raise_exception("alternate") }}{%- endif -%}{{ 'ok' if messages[1]['role'] in ('user', 'model') else 'no' }}
----
{%- macro format_parameters(properties, required) -%}{%- set standard_keys = ['description', 'type', 'properties', 'required', 'nullable'] -%}{%- set ns = namespace(found_first=false) -%}{%- for key, value in properties | dictsort -%}{%- if key not in standard_keys -%}{%- if ns.found_first %},{% endif -%}{%- set ns.found_first = true -%}{{ key }}:{description:<e>{{ value['description'] }}<e>{%- if value['type'] | upper == 'STRING' and value['enum'] -%},enum:{{ value['enum'] | tojson }}{%- elif value['type'] | upper == 'OBJECT' -%},properties:{{ format_parameters(value['properties'], value['required'] | default([])) }}{%- endif -%},type:{{ value['type'] | upper }}}{%- endif -%}{%- endfor -%}{%- endmacro -%}{{ format_parameters({'b': {'type': 'string', 'description': 'B', 'enum': ['x']}, 'a': {'type': 'object', 'description': 'A', 'properties': {'z': {'type': 'number', 'description': 'Z'}}}, 'type': {}}, ['b']) }}
----
{%- macro format_argument(argument, escape_keys=True) -%}{%- if argument is string -%}{{- '<e>' + argument + '<e>' -}}{%- elif argument is boolean -%}{{- 'true' if argument else 'false' -}}{%- elif argument is mapping -%}{{- '{' -}}{%- for key, value in argument | dictsort -%}{%- if not loop.first %},{% endif -%}{%- if escape_keys -%}{{- '<e>' + key + '<e>' -}}{%- else -%}{{- key -}}{%- endif -%}:{{- format_argument(value, escape_keys=escape_keys) -}}{%- endfor -%}{{- '}' -}}{%- elif argument is sequence -%}{{- '[' -}}{%- for item in argument -%}{{- format_argument(item, escape_keys=escape_keys) -}}{%- if not loop.last %},{% endif -%}{%- endfor -%}{{- ']' -}}{%- else -%}{{- argument -}}{%- endif -%}{%- endmacro -%}{{ format_argument({'b': [1, 2.5, true, none, 'x'], 'a': {'c': 1e-7}}) }}{{ format_argument({'k': 1}, false) }}
----
{%- macro strip_thinking(text) -%}{%- set ns = namespace(result='') -%}{%- for part in text.split('</think>') -%}{%- if '<think>' in part -%}{%- set ns.result = ns.result + part.split('<think>')[0] -%}{%- else -%}{%- set ns.result = ns.result + part -%}{%- endif -%}{%- endfor -%}{{- ns.result | trim -}}{%- endmacro -%}{{ strip_thinking(messages[2].content) }}
----
{%- set ns_turn = namespace(prev=none) -%}{%- for m in messages -%}{%- if ns_turn.prev is not none and ns_turn.prev == m.role -%}same{%- endif -%}{%- set ns_turn.prev = m.role -%}{%- endfor -%}{{ ns_turn.prev }}
----
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' in message %}x{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|>'}}{% endif %}
----
{%- set thinking = thinking | default(false) %}{%- set last_user_idx = namespace(v=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set last_user_idx.v = loop.index0 %}{%- endif %}{%- endfor %}{%- for m in messages %}{%- if m.role == 'assistant' and loop.index0 > last_user_idx.v %}after{%- elif m.role == 'assistant' %}before{%- endif %}{%- endfor %}{{ '</think>' if not thinking }}
----
{%- set tools_str = [{'name': 'a'}, {'name': 'b'}] | map(attribute='name') | map('upper') | join(' | ') %}{{ tools_str }}
----
{%- set tool_calls = [{'function': {'name': 'f', 'arguments': '{}'}}] %}{%- for tool in tool_calls %}{%- if loop.first %}{{'<calls>'}}{%- endif %}{{ 'function' + '<sep>' + tool['function']['name'] + '\n' + '```json' + '\n' + tool['function']['arguments'] + '\n' + '```' + '<end>'}}{%- if loop.last %}{{'</calls>'}}{%- endif %}{%- endfor %}
----
{%- macro json_to_python_type(json_spec) %}{%- set basic_type_map = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}{%- if basic_type_map[json_spec.type] is defined %}{{- basic_type_map[json_spec.type] }}{%- elif json_spec.type == "array" %}{{- "List[" + json_to_python_type(json_spec['items']) + "]"}}{%- elif json_spec.type == "object" %}{{- "Dict[str, Any]" }}{%- elif json_spec.type is iterable %}{{- "Union[" }}{%- for t in json_spec.type %}{{- json_to_python_type({"type": t}) }}{%- if not loop.last %}{{- "," }}{%- endif %}{%- endfor %}{{- "]" }}{%- else %}{{- "Any" }}{%- endif %}{%- endmacro %}{{ json_to_python_type({'type': 'array', 'items': {'type': ['string', 'null']}}) }}|{{ json_to_python_type({'type': 'object'}) }}
----
{%- macro old_tool_parser(tools) %}{%- for tool in tools %}{%- if loop.index0 != 0 %}{{- '\n\n' }}{%- endif %}{{- '```python\ndef ' + tool.name + '(' }}{%- for param_name, param_fields in tool.parameter_definitions|items %}{%- if loop.index0 != 0 %}{{- ', ' }}{%- endif %}{{- param_name + ': ' }}{%- if not param_fields.required %}{{- 'Optional[' + param_fields.type + '] = None' }}{%- else %}{{- param_fields.type }}{%- endif %}{%- endfor %}{{- ') -> List[Dict]:\n    """' }}{{- tool.description }}{{- '"""\n    pass\n```' }}{%- endfor %}{%- endmacro %}{{ old_tool_parser([{'name': 'f', 'description': 'D', 'parameter_definitions': {'q': {'type': 'str', 'required': true}, 'n': {'type': 'int', 'required': false}}}]) }}
----
{%- set documents = [{'title': 'T', 'text': 'a b'}, {'heading': 'H', 'body': 'c'}] %}<results>{% for document in documents %}Document: {{ loop.index0 }}
{% for key, value in document.items() %}{{ key }}: {{ value }}
{% endfor %}{% endfor %}</results>
----
{%- set tool_calls = [{'function': {'name': 'f', 'arguments': {'q': 'x'}}}] %}Action: ```json
[
{% for tc in tool_calls %}    {
        "tool_name": {{ tc['function']['name']|tojson }},
        "parameters": {{ tc['function']['arguments']|tojson(indent=4)|indent(8) }}
    }{% if not loop.last %},{% endif %}

{% endfor %}]```
----
{%- set safety_mode = safety_mode | default('CONTEXTUAL') | upper %}{%- if safety_mode in ['CONTEXTUAL', 'STRICT'] and safety_mode != 'NONE' %}{{ safety_mode[0] ~ safety_mode[1:] | lower }}{%- endif %}
----
{%- macro citations_to_str(citations) -%}{%- for c in citations -%}{{ c.start }}-{{ c.end }}:[{{ c.sources | map(attribute='id') | join(',') }}]{{ ';' if not loop.last }}{%- endfor -%}{%- endmacro -%}{{ citations_to_str([{'start': 0, 'end': 3, 'sources': [{'id': 1}, {'id': 2}]}, {'start': 5, 'end': 6, 'sources': []}]) }}
----
{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}
----
{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'system') %}{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|><|im_start|>assistant<|im_sep|>'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|im_end|>'}}{% endif %}{% endfor %}
----
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "K. Today: " + strftime_now('%B %d, %Y') %}{%- set loop_messages = messages %}{%- endif %}{{- '<|r|>system<|/r|>' + system_message + '<|t|>\n' }}{%- if documents %}{%- for d in documents %}{{ d }}{%- endfor %}{%- endif %}{%- for message in loop_messages %}{%- if message['role'] != 'system' %}{{- '<|r|>' + message['role'] + '<|/r|>' + message['content'] + '<|t|>\n' }}{%- endif %}{%- if loop.last and add_generation_prompt %}{{- '<|r|>assistant' }}{%- if controls is defined and controls %}{{- ' ' + controls | tojson }}{%- endif %}{{- '<|/r|>' }}{%- endif %}{%- endfor %}
----
{%- set document = {'doc_id': 7, 'title': 'T', 'text': 'body\nmore'} %}{{- '<|r|>document {"document_id": "' + document['doc_id'] | string + '"}<|/r|>\n' + document['text'] + '<|t|>\n' }}
----
{%- macro render_typescript_type(param_spec, required_params, is_nullable=false) -%}{%- if param_spec.type == "array" -%}{%- if param_spec['items'] -%}{%- if param_spec['items']['type'] == "string" -%}{{- "string[]" }}{%- elif param_spec['items']['type'] == "number" -%}{{- "number[]" }}{%- else -%}{%- set inner_type = render_typescript_type(param_spec['items'], required_params) -%}{%- if inner_type == "object | object" or inner_type|length > 50 -%}{{- "any[]" }}{%- else -%}{{- inner_type + "[]" }}{%- endif -%}{%- endif -%}{%- else -%}{{- "any[]" }}{%- endif -%}{%- elif param_spec.type is defined and param_spec.type is iterable and param_spec.type is not string and param_spec.type is not mapping and param_spec.type[0] is defined -%}{%- if param_spec.type | length > 1 -%}{{- param_spec.type | join(" | ") }}{%- else -%}{{- param_spec.type[0] }}{%- endif -%}{%- elif param_spec.oneOf -%}{%- for variant in param_spec.oneOf -%}{{- variant.type -}}{%- if not loop.last %}{{- " | " }}{% endif -%}{%- endfor -%}{%- elif param_spec.type == "string" -%}{%- if param_spec.enum -%}{{- '"' + param_spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" }}{%- if param_spec.nullable %}{{- " | null" }}{%- endif -%}{%- endif -%}{%- else -%}{{- param_spec.type or 'any' }}{%- endif -%}{%- endmacro -%}{{ render_typescript_type({'type': 'array', 'items': {'type': 'integer'}}, []) }};{{ render_typescript_type({'type': ['string', 'null']}, []) }};{{ render_typescript_type({'oneOf': [{'type': 'a'}, {'type': 'b'}]}, []) }};{{ render_typescript_type({'type': 'string', 'enum': ['x', 'y']}, []) }};{{ render_typescript_type({}, []) }}
----
{%- set params = {'type': 'object', 'properties': {'loc': {'type': 'string', 'description': 'where'}, 'n': {'type': 'number', 'default': 3}}, 'required': ['loc']} %}{%- for param_name, param_spec in params.properties.items() %}{%- if param_spec.description %}{{- "// " + param_spec.description + "\n" }}{%- endif %}{{- param_name }}{%- if param_name not in (params.required or []) -%}{{- "?" }}{%- endif -%}{{- ": " + param_spec.type }}{%- if param_spec.default is defined -%}{%- if param_spec.enum %}{{- ", // default: " + param_spec.default }}{%- else %}{{- ", // default: " + param_spec.default|tojson }}{%- endif -%}{%- endif -%}{%- if not loop.last %}{{- ",\n" }}{%- else %}{{- "\n" }}{%- endif -%}{%- endfor %}
----
{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}{{- "Reasoning: " + reasoning_effort + "\n\n" }}{%- set has_tools = tools is not none %}{{- "# Valid channels: analysis, commentary, final." }}{%- if has_tools %}{{- "\nCalls must go to 'commentary'." }}{%- endif %}
----
{%- set last_tool_call = namespace(name=none) %}{%- for message in messages -%}{%- if message.role == 'assistant' -%}{%- if "tool_calls" in message %}x{%- elif loop.last and not add_generation_prompt %}{{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" }}{%- else %}{{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}{%- set last_tool_call.name = none %}{%- endif %}{%- elif message.role == 'user' -%}{{- "<|start|>user<|message|>" + message.content + "<|end|>" }}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}
----
{%- set model_identity = model_identity if model_identity is defined else "You are C." %}{{- model_identity + "\n" }}{{- "Knowledge cutoff: 2024-06\n" }}{{- "Current date: " + (strftime_now("%Y-%m-%d") | length | string) + "\n\n" }}
----
{%- set future = namespace(found=false) %}{%- for future_message in messages[loop_index|default(1):] %}{%- if future_message.role == 'assistant' and "tool_calls" not in future_message %}{%- set future.found = true %}{%- break %}{%- endif %}{%- endfor %}{{ future.found }}
----
{%- for m in messages %}{%- if m.role not in ['user', 'assistant', 'system', 'developer', 'tool'] %}{{ raise_exception('bad role ' ~ m.role) }}{%- endif %}{%- endfor %}{{ messages | map(attribute='role') | unique | sort | join(' ') }}
----
{{ messages | map(attribute='content') | map('length') | list }}{{ messages | map(attribute='content') | map('trim') | map('truncate', 8, true, '') | list | first }}
----
{{ messages | map('tojson') | join('\n') }}
----
{{ messages | selectattr('content', 'string') | map(attribute='role') | list }}{{ messages | rejectattr('name', 'defined') | list | length }}{{ messages | selectattr('tool_calls', 'undefined') | list | length }}
----
{%- set spec = {'items': {'type': 'string'}, 'keys': 1, 'values': [1], 'get': 'g'} %}{{ spec['items'].type }}{{ spec['keys'] }}{{ spec.items is defined }}{{ spec.values is mapping }}{{ spec.items is string }}{{ spec['get'] }}{{ 'items' in spec }}{% if spec.items %}yes{% endif %}
----
{%- set spec = {'type': 'array'} %}{{ spec.items is defined }}{{ spec['items'] is defined }}{% if spec.items %}method{% endif %}{{ spec.count is defined }}
----
{%- set spec = {'type': 'array', 'items': {'type': 'integer'}} %}{{ spec.items.type is defined }}
----
{{ {'title': 'T', 'index': 3, 'format': 'date', 'count': 2}.title }}{{ {'index': 3}.index }}{{ {'format': 'date'}.format }}{{ {'copy': 1}['copy'] }}{{ {'count': 2}.count + 1 }}
----
{%- set a = [1, 2] %}{%- set b = a + [3] %}{{ a }}{{ b }}{{ a == [1, 2] }}{{ b[-1] }}{{ (a + b)[2:] }}{{ [a, b] | map('length') | list }}{{ a * 2 }}{{ (1, 2) + (3,) }}
----
{{ '%s has %d items (%.1f%%)' % ('x', 3, 12.345) }}{{ '%-6s|%6s|' % ('ab', 'cd') }}{{ '%(name)s=%(value)r' % {'name': 'n', 'value': 'v'} }}{{ '%s' % ((1, 2),) }}{{ '%5.1f' % 2.25 }}{{ '%x' % 255 }}
----
{{ "{:.2f} {:>6} {:<6}| {:^7}|{:,}|{:03d}|{!r}|{0}".format(3.14159) if false else "{:.2f} {:>6} {:<6}|{:^7}|{:,}|{:03d}|{!r}".format(3.14159, 'a', 'b', 'c', 1234567, 7, 'q') }}
----
{{ '{role}: {content}'.format(**messages[3]) }}{{ '{0[role]}'.format(messages[3]) }}{{ '{m[role]!s:>8}'.format(m=messages[3]) }}
----
{{ 1e3 }}|{{ 1e3 | int }}|{{ 5 / 2 }}|{{ 4 / 2 }}|{{ 5 // 2 }}|{{ -5 // 2 }}|{{ 5 % -3 }}|{{ -5 % 3 }}|{{ 5.5 % 2 }}|{{ 2 ** 10 }}|{{ 10 ** 20 }}|{{ 0.1 + 0.2 }}|{{ 1 - 0.9 }}|{{ 3 * 1.5 }}|{{ 1_000 }}
----
{{ [0.1, 1e-5, 1e16, 123456.789, 1.0, -2.50] }}{{ [0.1, 1e-5, 1e16] | tojson }}{{ [0.1, 1e-5, 1e16] | join(' ') }}{{ 1e-5 ~ 1e16 }}
----
{{ [true, false, none] }}{{ [true, false, none] | tojson }}{{ [true, false, none] | join(',') }}{{ true ~ none }}{{ true | string | lower }}{{ (true | tojson) ~ (none | tojson) }}
----
{{ ['a', "it's", 'q"q', 'é', '\n'] }}{{ {'k': 'it''s', 'é': ['x']} }}{{ ('a',) }}{{ ['a' ~ 'b', ('c', {'d': none})] | string }}
----
{{ {'b': 1, 'a': {'d': 1, 'c': [2]}} | tojson(indent=2) | indent(2) }}{{ {'b': 1} | tojson(indent=none) }}{{ [] | tojson(indent=2) }}{{ {'a': []} | tojson(indent=1) }}
----
{{ {'q': '<a href="x">&</a>'} | tojson }}{{ '<a>' | tojson | safe }}{{ 'é\u2028' | tojson }}{{ 'é' | tojson(ensure_ascii=true) }}
----
{{ messages[0].content | trim | upper | replace('BE', 'is') | title }}{{ 'x_y-z w' | title }}{{ 'ABC def' | capitalize }}{{ 'a,b;c' | replace(',', '') | replace(';', '.') }}
----
{{ '  a\n  b\n' | indent(4, first=true) }}|{{ 'a\nb' | indent(2, true, true) }}|{{ 'a\n\nb' | indent }}|{{ messages[1].content | indent(2) | length }}
----
{{ 'one  two'.split(' ') }}{{ ' one two '.split() }}{{ 'k: v: w'.split(': ', 1) }}{{ 'a/b/c'.rsplit('/', 1)[0] }}{{ 'a\n\nb'.split('\n\n') }}{{ 'abc'.split('x') }}{{ 'x'.join('abc') }}{{ 'a-b_c'.replace('-', '_').split('_') | last }}
----
{{ 'Hello'.lower().startswith('he') }}{{ 'a.b'.endswith(('.b', '.c')) }}{{ 'abc'.find('c') }}{{ 'abc'.find('z') }}{{ 'a1b2'.isalnum() }}{{ '12'.isdigit() }}{{ 'abc'.count('b') }}{{ 'AbC'.swapcase() }}{{ 'abc'.upper().lower() == 'abc' }}{{ '\t x\n'.strip() }}
----
{{ messages[-1]['content'][:3] }}{{ messages[-1]['content'][-3:] }}{{ messages[0].role[::-1] }}{{ 'abcdef'[1:-1:2] }}{{ 'abc'[:10] }}{{ 'abc'[5:] }}|{{ messages[10:] }}{{ messages[:0] }}{{ 'héé'[1:] }}
----
{{ messages | batch(3) | map('length') | list }}{{ messages | slice(3) | map('length') | list }}{{ [1, 2, 3, 4, 5] | batch(2, 0) | list }}{{ messages | groupby('role') | map(attribute='grouper') | list }}
----
{% for role, items in messages | groupby('role') %}{{ role }}:{{ items | map(attribute='content') | map('length') | sum }} {% endfor %}
----
{% for item in [{'n': 'b', 'v': 2}, {'n': 'A', 'v': 1}, {'n': 'c', 'v': 3}] | sort(attribute='n') %}{{ item.n }}{% endfor %}{% for item in [{'n': 'b', 'v': 2}, {'n': 'A', 'v': 1}] | sort(attribute='v', reverse=true) %}{{ item.v }}{% endfor %}{{ ['b', 'A', 'a', 'B'] | sort(case_sensitive=true) }}{{ ['b', 'A', 'a', 'B'] | sort }}
----
{{ [3, 1, 2] | sort(reverse=true) | first }}{{ [{'v': 3}, {'v': 1}] | max(attribute='v') }}{{ ['b', 'C', 'a'] | max }}{{ [] | max is defined }}{{ [[1, 2], [3]] | sum(start=[]) }}{{ [1.5, 2] | sum }}{{ [{'v': 1}, {'v': 2}] | sum('v') }}
----
{{ 'none' if x is undefined else x }}{{ (x | default({})).y is defined }}{{ x | default(messages) | length }}{{ (messages[0].meta or {}).tag or 'none' }}{{ none | default('d', true) }}
----
{%- if loop is defined %}loop{%- else %}none{%- endif %}{%- for m in messages %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {%- endfor %}
----
{%- for m in messages if m.role != 'system' %}{%- if loop.index is even %}{{ loop.index }}e{%- elif loop.index is odd %}{{ loop.index }}o{%- endif %}{%- if loop.revindex == 1 %}!{%- endif %}{%- endfor %}
----
{%- for a in [1, 2, 3] %}{%- for b in [1, 2, 3] %}{%- if b > a %}{%- break %}{%- endif %}{%- if b == 2 %}{%- continue %}{%- endif %}{{ a }}{{ b }} {%- endfor %}{%- endfor %}
----
{%- set outer = 'o' %}{%- for m in messages %}{%- set outer = outer + 'x' %}{%- endfor %}{{ outer }}{%- if true %}{%- set outer = 'inner' %}{%- endif %}{{ outer }}{%- macro m() %}{%- set outer = 'mm' %}{{ outer }}{%- endmacro %}{{ m() }}{{ outer }}
----
{%- set block %}
  {{ messages[0].content | trim }}
  <b>
{%- endset %}[{{ block }}]{{ block | trim | length }}{%- set block | upper %}abc{% endset %}{{ block }}
----
{%- macro a(x, y='d') %}{{ x }}{{ y }}{{ caller('c') if caller is defined else '' }}{%- endmacro %}{{ a(1) }}{{ a(y=2, x=1) }}{% call(v) a(3) %}<{{ v }}>{% endcall %}{{ a() }}
----
{%- macro nested(d, depth=0) -%}{%- for k, v in d.items() -%}{{ '  ' * depth }}{{ k }}:{% if v is mapping %}{{ '\n' }}{{ nested(v, depth + 1) }}{% else %} {{ v }}{{ '\n' }}{% endif %}{%- endfor -%}{%- endmacro -%}{{ nested({'a': {'b': 1, 'c': {'d': [1, 'x']}}, 'e': none}) }}
----
{%- with %}{%- set y = 1 %}{{ y }}{%- endwith %}{{ y is defined }}{%- with a = 1, b = 2 %}{{ a + b }}{%- endwith %}{%- with a = messages[0] %}{{ a.role }}{%- endwith %}
----
{% filter trim | upper %}  abc {{ messages[0].role }} {% endfilter %}|{% filter replace('a', 'b') %}aa{% endfilter %}
----
{# a comment with {{ braces }} and {% tags %} #}x{#- y -#}  z {#+ w #}
----
    {%- if true %}
    a
    {%- else %}
    b
    {%- endif %}
    {%+ if true %}c{% endif %}

  {{- ' d ' -}}
  e
----
{% if true -%}
    a
{%- endif %}
b
{% for m in messages %}
{{ m.role }}
{% endfor %}
{{ 'c' }}  
d
----
{% raw %}{{ not rendered }}{% endraw %}{{ '{{' }}{{ '}}' }}{{ "{%" }}{{ '#}' }}
----
{{ messages[0]['role'] ~ ': ' ~ messages[0]['content'] | trim ~ '\n' }}{{ 'a' ~ 'b' | upper }}{{ ('a' ~ 'b') | upper }}{{ 'a' + 'b' | upper }}{{ -1 | abs }}{{ 3 - 1 | abs }}{{ 2 * 3 | string }}
----
{{ 'a' in 'abc' and 'd' not in 'abc' }}{{ not 'a' in 'abc' }}{{ 1 in [1, 2] and 3 not in (1, 2) }}{{ 'role' in messages[0] and 'name' not in messages[0] }}{{ none in [none] }}{{ '' in 'a' }}{{ [1] in [[1]] }}{{ 1 < 2 and 2 <= 2 != 3 }}{{ 'a' < 'b' <= 'b' }}
----
{{ messages is defined and messages is not none and messages | length > 0 }}{{ (messages | length) % 2 == 0 }}{{ messages | length // 2 }}{{ (messages | length / 2) | int }}{{ not messages }}{{ not not messages }}
----
{{ none or 'x' }}{{ '' or 0 or [] or 'y' }}{{ 'a' and 'b' }}{{ 0 and 'b' }}{{ [] and 1 }}{{ (none or {}).get('a', 'z') }}{{ true and none }}{{ 'x' if '' else 'y' }}{{ 1 if [0] else 2 }}
----
{{ messages[0].get('content') | trim }}{{ messages[0].get('x') }}{{ messages[0].get('x', []) }}{{ messages[0].get('x', {}).get('y') is none }}{{ messages[0].keys() | list }}{{ messages[0].values() | first }}{{ messages[0].items() | list | length }}{{ messages[0].items() | map('first') | list }}
----
{{ dict(a=1, b=[2]) }}{{ dict(messages[0], name='n') | length }}{{ dict(a=1) == {'a': 1} }}{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}{{ [1, 2] == (1, 2) }}{{ 1 == 1.0 }}{{ 1 == true }}{{ '1' == 1 }}{{ none == false }}
----
{{ messages.append({'role': 'tool'}) }}
----
{{ messages[0].update({'role': 'x'}) }}
----
{{ messages[0].content + 1 }}
----
{{ messages[0].content + none }}
----
{{ tools[0] }}{{ tools.name is defined }}|{{ tools | length }}
----
{{ messages[0].content.nothing.more }}
----
{{ messages[0] < messages[1] }}
----
{{ ''.join([1, 2]) }}
----
{{ messages | join(', ', attribute='role') }}{{ [1, none, 2.5] | join('-') }}{{ [['a', 1]] | join }}{{ 'abc' | join('.') }}{{ {'a': 1, 'b': 2} | join(',') }}
"""
