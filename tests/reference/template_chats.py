"""What the chat templates of known model families do with messages, construct by construct, in words
of our own. A line `----` stands between two pieces.
"""

CHATS = r"""
{{- bos_token }}{%- for m in messages %}{{- '[' + m['role'] + ']\n\n' + m['content'] | trim + '[end]' }}{%- endfor %}
----
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}{%- if not tools_first is defined %}{%- set tools_first = true %}{%- endif %}{{ tools is none }}{{ tools_first }}
----
{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}{{- "Today: " }}{{ date_string | length }}
----
{%- if messages[0]['role'] == 'system' %}{%- set first = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- else %}{%- set first = "" %}{%- endif %}{{ first }}|{{ messages | length }}
----
{%- if messages[0].role == 'system' %}{%- set offset = 1 %}{%- else %}{%- set offset = 0 %}{%- endif %}{%- for m in messages[offset:] %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == offset) %}{{- 'out of order ' ~ loop.index }}{%- endif %}{%- endfor %}
----
{%- for m in messages %}{%- if not (m.role == 'ipython' or m.role == 'tool' or 'tool_calls' in m) %}{{- m.role }}{%- elif 'tool_calls' in m %}{%- if not m.tool_calls|length == 1 %}{{- raise_exception("one call only") }}{%- endif %}{%- endif %}{%- endfor %}
----
{%- set tool_call = {'name': 'look', 'arguments': {'q': 'a "b"', 'n': 3, 'deep': {'x': [1.5, none]}}} %}{{- '{"name": "' + tool_call.name + '", ' }}{{- '"parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}" }}
----
{%- set tool_call = {'name': 'look', 'arguments': {'q': 'a', 'n': 3}} %}{{- tool_call.name + "(" }}{%- for arg_name, arg_val in tool_call.arguments | items %}{{- arg_name + '="' ~ arg_val ~ '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- ")" }}
----
{%- set tools = [{'type': 'function', 'function': {'name': 'f', 'description': 'Does.', 'parameters': {'type': 'object', 'properties': {'a': {'type': 'string'}}, 'required': ['a']}}}] %}{%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\n\n" }}{%- endfor %}
----
{%- set tools = [{'function': {'name': 'f', 'parameters': {'properties': {'a': {'type': ['string', 'null']}, 'b': {'type': 'array', 'items': {'type': 'number'}}}, 'required': ['b']}}}] %}{%- for tool in tools %}{%- set tool = tool.function %}{%- for name, spec in tool.parameters.properties.items() %}{{ name }}:{{ spec.type if spec.type is string else spec.type | join('|') }}{{ '' if name in tool.parameters.required else '?' }};{%- endfor %}{%- endfor %}
----
{%- macro json_type(t) -%}{%- set map = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} -%}{%- if map[t.type] is defined -%}{{- map[t.type] -}}{%- elif t.type == "array" -%}{{- "list[" + json_type(t["items"]) + "]" -}}{%- elif t.type == "object" -%}{%- if t.additionalProperties is defined -%}{{- "dict[str, " + json_type(t.additionalProperties) + ']' -}}{%- else -%}{{- "dict" -}}{%- endif -%}{%- elif t.type is iterable -%}{{- "Union[" -}}{%- for one in t.type -%}{{- json_type({"type": one}) -}}{%- if not loop.last -%}{{- "," -}}{%- endif -%}{%- endfor -%}{{- "]" -}}{%- else -%}{{- "Any" -}}{%- endif -%}{%- endmacro -%}{{ json_type({'type': 'array', 'items': {'type': 'object', 'additionalProperties': {'type': 'integer'}}}) }} {{ json_type({'type': ['string', 'boolean']}) }} {{ json_type({}) }}
----
{%- if tools %}{{- '[system]\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}{%- else %}{%- if messages[0].role == 'system' %}{{- '[system]\n' + messages[0].content + '[end]\n' }}{%- else %}{{- '[system]\nYou are helpful.[end]\n' }}{%- endif %}{%- endif %}
----
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<resp>') and message.content.endswith('</resp>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}{{ ns.last_query_index }}{{ ns.multi_step_tool }}
----
{%- for message in messages %}{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}{%- set reasoning_content = '' %}{%- if message.reasoning_content is string %}{%- set reasoning_content = message.reasoning_content %}{%- else %}{%- if '</think>' in content %}{%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}{%- endif %}{{- message.role + ':' + reasoning_content.strip('\n') + '/' + content.lstrip('\n') + ';' }}{%- endfor %}
----
{%- if add_generation_prompt %}{{- '[assistant]\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}
----
{%- for message in messages %}{%- if message.role == "tool" %}{%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '[user]' }}{%- endif %}{{- '\n<resp>\n' }}{{- message.content }}{{- '\n</resp>' }}{%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '[end]\n' }}{%- endif %}{%- else %}{{ message.role }}{%- endif %}{%- endfor %}
----
{%- for message in messages %}{%- if loop.previtem and loop.previtem.role == message.role %}{{ 'again' }}{%- endif %}{%- if not loop.last and loop.nextitem.role == 'assistant' %}{{ message.role }}>{%- endif %}{%- endfor %}
----
{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}{%- for message in loop_messages | rejectattr("role", "equalto", "tool") | rejectattr("role", "equalto", "tool_results") | selectattr("tool_calls", "undefined") %}{%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}{{- raise_exception("roles must alternate") }}{%- endif %}{%- endfor %}{%- for message in loop_messages %}{%- if message["role"] == "user" %}{%- if tools is not none and (message == user_messages[-1]) %}{{- "[TOOLS]" }}{%- endif %}{%- if loop.last and system_message is defined %}{{- "[I] " + system_message + "\n\n" + message["content"] + "[/I]" }}{%- else %}{{- "[I] " + message["content"] + "[/I]" }}{%- endif %}{%- elif message.role == 'assistant' %}{{- " " + message["content"]|trim + eos_token }}{%- endif %}{%- endfor %}
----
{%- set ns = namespace() %}{%- set ns.index = 0 %}{%- for message in messages %}{%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}{%- if (message["role"] == "user") != (ns.index % 2 == 1) %}{{- 'bad' }}{%- endif %}{%- set ns.index = ns.index + 1 %}{%- endif %}{%- endfor %}{{ ns.index }}
----
{%- set tools = [{'type': 'function', 'function': {'name': 'f', 'parameters': {'a': 'x', 'b': 2}}}] %}{{- "[AVAILABLE] [" }}{%- for tool in tools %}{%- set tool = tool.function %}{{- '{"type": "function", "function": {' }}{%- for key, val in tool.items() if key != "return" %}{%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}{%- endfor %}
----
{%- set tool_call = {'id': 'abcdefghi', 'function': {'name': 'f', 'arguments': {}}} %}{%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs should be 9 long!") }}{%- endif %}{%- set out = tool_call.function|tojson %}{{- out[:-1] }}{{- ', "id": "' + tool_call.id + '"}' }}
----
{%- set today = strftime_now("%Y-%m-%d") %}{%- set default_system = 'Now ' + today + '.' %}{{- default_system | length }}{%- if messages[0]['role'] == 'system' %}{%- if messages[0]['content'] is string %}{%- set s = messages[0]['content'] %}{%- else %}{%- set s = messages[0]['content'][0]['text'] %}{%- endif %}{{ s }}{%- endif %}
----
{%- set m = {'content': [{'type': 'text', 'text': 'see'}, {'type': 'image'}, {'type': 'image_url', 'image_url': {'url': 'u'}}]} %}{%- for block in m['content'] %}{%- if block['type'] == 'text' %}{{- block['text'] }}{%- elif block['type'] in ['image', 'image_url'] %}{{- '[IMG]' }}{%- else %}{{- raise_exception('Only text and image blocks are supported!') }}{%- endif %}{%- endfor %}
----
{% set image_count = namespace(value=0) %}{% set m = {'content': [{'type': 'text', 'text': 'a'}, {'image': 1}, {'type': 'video'}]} %}{% for c in m.content %}{% if c.type == 'image' or 'image' in c or 'image_url' in c %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<img>{% elif c.type == 'video' or 'video' in c %}<vid>{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{{ image_count.value }}
----
{%- macro render_content(content, do_count) %}{%- if content is string %}{{- content }}{%- elif content is iterable and content is not mapping %}{%- for item in content %}{%- if 'text' in item %}{{- item.text }}{%- else %}{{- raise_exception('Unexpected item type in content.') }}{%- endif %}{%- endfor %}{%- elif content is none or content is undefined %}{{- '' }}{%- else %}{{- raise_exception('Unexpected content type.') }}{%- endif %}{%- endmacro %}{{ render_content('a') }}{{ render_content([{'text': 'b'}, {'text': 'c'}], true) }}{{ render_content(none) }}{{ render_content(nothing) }}
----
{%- macro render_content(content) %}{%- if content is mapping %}{{- raise_exception('no mapping') }}{%- endif %}{%- endmacro %}{{ render_content({}) }}
----
{%- macro render_extra_keys(json_dict, handled_keys) -%}{%- if json_dict is mapping -%}{%- for json_key in json_dict if json_key not in handled_keys -%}{%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) -%}{{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' -}}{%- else -%}{{-'\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string) ~ '</' ~ json_key ~ '>' -}}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}{{ render_extra_keys({'name': 'n', 'a': [1, '<'], 'b': {'c': true}, 'd': 1.0, 'e': none}, ['name']) }}
----
{%- set call = {'arguments': {'s': 'text', 'l': [1, 2], 'f': 1.0, 'b': true}} %}{%- for args_name, args_value in call.arguments|items %}{{- '<parameter=' + args_name + '>\n' }}{%- set args_value = args_value | tojson | safe if args_value is mapping or (args_value is sequence and args_value is not string) else args_value | string %}{{- args_value }}{{- '\n</parameter>\n' }}{%- endfor %}
----
{%- if messages|length == 0 or messages[0]['role'] not in ['system', 'user', 'developer'] %}{{ raise_exception('bad start') }}{%- endif %}{{ messages|map(attribute='role')|join('>') }}
----
{%- set loop_messages = messages %}{%- for message in loop_messages %}{%- set content = '[start]' + message['role'] + '[mid]\n\n' + message['content'] | trim + '[end]' %}{%- if loop.index0 == 0 %}{%- set content = bos_token + content %}{%- endif %}{{- content }}{%- endfor %}{{- '[start]assistant[mid]\n\n' if add_generation_prompt else '' }}
----
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] if false else '' }}{% endif %}{% for message in messages %}{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<turn>' + role + '\n' + message['content'] | trim + '</turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}
----
{%- if messages[0]['role'] == 'system' -%}{%- if messages[0]['content'] is string -%}{%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- else -%}{%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}{%- endif -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}{%- endif -%}{%- for message in loop_messages -%}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception("alternate!") }}{%- endif -%}{{ message.role + '\n' + (first_user_prefix if loop.first else "") }}{%- if message['content'] is iterable and message['content'] is not string -%}parts{%- endif -%}{{ message['content'] | trim }}{{ '</t>\n' }}{%- endfor -%}
----
{%- for message in messages -%}{%- if message['role'] == 'system' and message['content'] -%}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{%- elif message['role'] == 'user' -%}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{%- elif message['role'] == 'assistant' -%}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- else -%}{{ eos_token }}{%- endif -%}
----
{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ message['tools'] }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}
----
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\n\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<U>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<T>' + message['content']}}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<A>' + content + '<E>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<A><think>\n'}}{% endif %}
----
{%- set calls = [{'type': 'function', 'function': {'name': 'f', 'arguments': '{"a": 1}'}}, {'type': 'function', 'function': {'name': 'g', 'arguments': {'b': 2}}}] %}{%- for tool in calls %}{%- set args = tool['function']['arguments'] %}{%- if args is string %}{{- tool['type'] + '<sep>' + tool['function']['name'] + '\n```json\n' + args + '\n```' }}{%- else %}{{- tool['function']['name'] ~ args|tojson }}{%- endif %}{%- if not loop.last %}{{- '\n' }}{%- endif %}{%- endfor %}
----
{%- set thinking = thinking if thinking is defined else false %}{%- if thinking %}{{- '<think>' }}{%- else %}{{- '</think>' }}{%- endif %}{%- set last_user = namespace(index=-1) %}{%- for m in messages %}{%- if m['role'] == 'user' or m['role'] == 'developer' %}{%- set last_user.index = loop.index0 %}{%- endif %}{%- endfor %}{{ last_user.index }}
----
{%- if documents %}{%- for document in documents %}{{ document.title }}{%- endfor %}{%- elif documents is none %}no documents{%- endif %}{%- set docs = [{'title': 'T', 'text': 'x\ny'}, {'title': 'U', 'text': 'z'}] %}{%- for doc in docs %}Document: {{ loop.index0 }}
{% for key, value in doc.items() %}{{ key | title }}: {{ value | indent(2) }}
{% endfor %}{%- endfor %}
----
{%- macro document_turn(docs) -%}[{% for d in docs %}{"id": "{{ loop.index0 }}", "data": {{ d | tojson }}}{% if not loop.last %},
{% endif %}{% endfor %}]{%- endmacro -%}{{ document_turn([{'a': 'é"'}, {'b': [1]}]) }}
----
{%- set ns = namespace(tool_idx=0) %}{%- set calls = [{'function': {'name': 'f', 'arguments': {'x': 1}}}] %}{% for tc in calls %}    {"tool_call_id": "{{ ns.tool_idx }}", "tool_name": "{{ tc['function']['name'] }}", "parameters": {{ tc['function']['arguments']|tojson }}}{% if not loop.last %},{% endif %}{% set ns.tool_idx = ns.tool_idx + 1 %}{% endfor %}{{ ns.tool_idx }}
----
{%- macro render_type(spec) %}{%- if spec.type == 'object' %}{{- '{' }}{%- for k, v in spec.properties.items() %}{{- k ~ ': ' ~ render_type(v) }}{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- '}' }}{%- elif spec.enum %}{{- spec.enum | map('tojson') | join(' | ') }}{%- elif spec.type == 'array' and spec['items'] %}{{- render_type(spec['items']) + '[]' }}{%- else %}{{- spec.type }}{%- endif %}{%- endmacro %}{{ render_type({'type': 'object', 'properties': {'a': {'type': 'string', 'enum': ['x', 'y']}, 'b': {'type': 'array', 'items': {'type': 'number'}}, 'c': {'type': 'object', 'properties': {}}}}) }}
----
{%- set spec = {'properties': {'a': {'type': 'string', 'default': 'x'}, 'b': {'type': 'number', 'default': 2.0}}, 'required': ['b']} %}{%- for name, p in spec.properties.items() %}{%- if p.description %}// {{ p.description }}{%- endif %}{{ name }}{%- if not spec.required or name not in spec.required %}?{%- endif %}: {{ p.type }}{%- if p.default is defined %} = {{ p.default|tojson if p.default is not string else '"' ~ p.default ~ '"' }}{%- endif %},
{% endfor %}
----
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "Now " + strftime_now('%B %d, %Y') + "." %}{%- if tools and documents %}{%- set system_message = system_message + " Both." %}{%- elif tools %}{%- set system_message = system_message + " Tools." %}{%- endif %}{%- set loop_messages = messages %}{%- endif %}{{- '[role]system[/role]' + system_message + '[eot]\n' }}{%- for message in loop_messages %}{{- '[role]' + message['role'] + '[/role]' + message['content'] + '[eot]\n' }}{%- if loop.last and add_generation_prompt %}{{- '[role]assistant' }}{%- if controls %}{{- ' ' + controls | tojson() }}{%- endif %}{{- '[/role]' }}{%- endif %}{%- endfor %}
----
{%- set g4_default = "D" %}{%- set controls = namespace(length='', style='x') %}{%- if controls.length %}a{%- endif %}{%- set doc_ids = [] %}{%- for d in documents or [] %}{%- set doc_ids = doc_ids + [d.id] %}{%- endfor %}{{ doc_ids }}{{ controls.style }}
----
{%- macro json_to_python_type(json_spec) %}{%- set basic = {"string": "str", "integer": "int"} %}{%- if basic[json_spec.type] is defined %}{{- basic[json_spec.type] }}{%- elif json_spec.type == "array" %}{{- "list[" + json_to_python_type(json_spec|items|list|last|last) + "]" }}{%- else %}{{- "Any" }}{%- endif %}{%- endmacro %}{{ json_to_python_type({'type': 'array', 'items': {'type': 'string'}}) }}{{ json_to_python_type({'type': 'null'}) }}
----
{%- set tool = {'name': 'f', 'description': 'D', 'parameters': {'properties': {'a': {'type': 'string', 'description': 'x'}}}, 'return': {'type': 'int'}} %}{{- '{"type": "function", "function": ' }}{{- '{"name": "' + tool.name + '", ' }}{{- '"description": "' + tool.name + '(' }}{%- for param_name, param_fields in tool.parameters.properties|items %}{{- param_name + ": " + param_fields.type }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- ")" }}{%- if tool.return is defined %}{{- " -> " + tool.return.type }}{%- endif %}{{- " - " + tool.description + "\n\n" }}{%- for param_name, param_fields in tool.parameters.properties|items %}{%- if loop.first %}{{- "    Args:\n" }}{%- endif %}{{- "        " + param_name + "(" + param_fields.type + "): " + param_fields.description|trim }}{%- endfor %}{{- '", "parameters": ' }}{%- if tool.parameters.properties | length == 0 %}{{- "{}" }}{%- else %}{{- tool.parameters|tojson }}{%- endif %}{{- "}" }}
----
{%- for m in messages %}{%- if m.role == 'assistant' and m.tool_calls is defined %}x{%- elif m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}{%- else %}{{ m.content }}{%- endif %}{%- endfor %}
----
{%- for m in messages %}{%- if m.role == 'assistant' %}{%- generation %}{%- set inner = m.content %}{{- inner }}{%- if loop.last %}last{%- endif %}{%- endgeneration %}{{ inner is defined }}{%- endif %}{%- endfor %}
----
{%- for message in messages %}{%- if message['role'] not in ['user', 'assistant', 'tool', 'system'] %}{{ raise_exception("Invalid role: " + message['role']) }}{%- endif %}{{- "<|im|>" ~ message['role'] ~ "\n" ~ (message['content'] if message['content'] is string else message['content']|map(attribute='text')|join('\n')) ~ "<|e|>" }}{%- if loop.last and message.role != 'assistant' %}{{- "\n<|im|>assistant\n" }}{%- endif %}{%- endfor %}
----
{%- set content = '<tool>{"a": 1}</tool> rest' %}{%- if content.startswith('<tool>') and '</tool>' in content %}{{ content[6:content.find('</tool>')] }}|{{ content.split('</tool>', 1)[1].strip() }}|{{ content.rindex('>') }}{%- endif %}
----
{%- set text = '  Line one\n\n   Line two  \n' %}{{ text.strip().split('\n') | map('trim') | select | join(' / ') }}|{{ text.splitlines() | length }}|{{ text | trim | replace('\n', ' ') }}
----
{%- set msgs = messages | rejectattr('role', 'equalto', 'system') | list %}{%- set last = msgs | last %}{{ last.role }}{{ (msgs | selectattr('role', 'eq', 'assistant') | first).content[:7] }}{{ msgs | selectattr('content', 'in', ['a=b=c']) | list | length }}{{ (msgs | selectattr('role', 'eq', 'tool') | first) is defined }}
----
{%- set keep = messages | length > 3 and (messages | map(attribute='role') | list)[-1] == 'user' %}{{ 'keep' if keep }}{{- '' if keep else 'drop' -}}
----
{%- set options = {'a': true, 'b': false} %}{%- for k in options if options[k] %}{{ k }}{%- endfor %}{{ options.get('c', 'none') }}{{ options.a and not options.b }}{{ options | length }}{{ 'a' in options and options['a'] }}
----
{%- set x = {'role': 'user'} %}{%- set y = dict(x, content='c') %}{{ y }}{%- set z = dict(x.items()) %}{{ z == x }}{%- set l = [x] + [y] %}{{ l | map(attribute='content', default='-') | join }}
----
{%- set roles = {'user': 'Human', 'assistant': 'AI'} %}{%- for m in messages if m.role in roles %}{{ roles[m.role] }}: {{ m.content.replace('\n', ' ').strip()[:12] }}{{ '...' if m.content | length > 12 }}
{% endfor %}
----
{%- set parts = [] %}{%- for m in messages %}{%- set parts = parts + [m.role] %}{%- endfor %}{{ parts }}{%- set ns = namespace(parts=[]) %}{%- for m in messages %}{%- set ns.parts = ns.parts + [m.role] %}{%- endfor %}{{ ns.parts | join('+') }}
----
{%- set call_id = '%03d' % 7 %}{{ call_id }}{{ 'call_{}'.format(loop_index | default(1)) }}{{ "%s: %s" | format('k', 1.5) }}{{ 'id'.rjust(5, '0') }}{{ call_id.zfill(6) }}
----
{%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | join('\n') | trim %}{%- if system %}<<SYS>>{{ system }}<</SYS>>{%- endif %}{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list %}{%- for pair in turns | batch(2) %}[{{ pair[0].role }}{{ '+' ~ pair[1].role if pair | length > 1 }}]{%- endfor %}
----
{%- for role, group in messages | groupby('role') %}{{ role }}={{ group | length }};{%- endfor %}{%- for name, value in {'b': 1, 'a': 2} | dictsort %}{{ name }}{{ value }}{%- endfor %}
----
{%- set budget = thinking_budget if thinking_budget is defined else -1 %}{%- if budget == 0 %}none{%- elif budget > 0 %}{{ budget }}{%- else %}free{%- endif %}{%- set ratio = 512 // 3 %}{{ ratio }}{{ 512 / 4 }}{{ 7 % 3 }}{{ [512, 2048] | max }}
----
{%- set effort = reasoning_effort | default('medium') %}{{ "Reasoning: " + effort + "\n\n" }}{%- set channels = ['analysis', 'final'] %}{{ '# Valid channels: ' ~ channels | join(', ') ~ '.' }}{%- if 'functions' in channels or not tools %}!{%- endif %}
----
{%- macro message_header(m) -%}<|start|>{{ m.role }}{% if m.name is defined %} to={{ m.name }}{% endif %}<|message|>{%- endmacro -%}{%- for m in messages -%}{{ message_header(m) }}{{ m.content | e }}<|end|>{%- endfor -%}
----
{%- macro wrap(tag) -%}<{{ tag }}>{{ caller() }}</{{ tag }}>{%- endmacro -%}{%- call wrap('sys') -%}{{ messages[0].content | trim }}{%- endcall -%}{%- call wrap(tag='n') -%}{{ messages | length }}{%- endcall -%}
----
{%- set messages = messages + [{'role': 'tool', 'content': {'ok': true}}] -%}{%- for m in messages -%}{%- if m.content is mapping -%}{{ m.content | tojson }}{%- elif m.content is not string -%}{{ raise_exception('what') }}{%- else -%}.{%- endif -%}{%- endfor -%}
----
{%- set m = {'role': 'assistant', 'content': none, 'tool_calls': [{'id': 'x', 'function': {'name': 'f', 'arguments': '{}'}}]} %}{{ m.content or '' }}{{ m['content'] is none }}{{ m.get('content') is not none }}{%- if m.tool_calls is defined and m.tool_calls | length > 0 %}{{ (m.tool_calls | first).function.name }}{{ m.tool_calls[0]['function']['arguments'] | tojson }}{%- endif %}{{ m.refusal | default('no', true) }}
----
{%- set m = messages[1] -%}
{%- if m.content is string -%}
    {%- set text = m.content -%}
{%- endif -%}
{{ text | length }}
  {%- if text %}
    yes
  {% endif %}
tail
----
{% for message in messages %}
{% if message.role == 'user' %}
USER: {{ message.content }}
{% elif message.role == 'assistant' %}
ASSISTANT: {{ message.content }}{{ eos_token }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
ASSISTANT:
{% endif %}
----
{%- for message in messages %}
    {%- set is_last = loop.last %}
    {%- if message.role == "system" %}
        {{- "S:" + message.content }}
    {%- else %}
        {{- message.role[0] | upper ~ ":" ~ message.content ~ ("" if is_last else "\n") }}
    {%- endif %}
{%- endfor %}
{{- "\n" if not add_generation_prompt else "\nA:" }}
----
{%- set now = strftime_now('%A, %B %d, %Y') -%}{{ now.split(',') | length }}{{ now.split(' ')[-1] | int > 2000 }}{%- set user_system = messages[0].content if messages[0].role == 'system' else '' -%}{{ user_system | trim | default('none', true) }}
----
{%- set custom = '/no_think' %}{%- set content = messages[0].content ~ custom %}{%- if '/no_think' in content %}{{ content.replace('/no_think', '').rstrip() }}{%- elif '/think' in content %}y{%- endif %}{%- if content.endswith(('/think', '/no_think')) %}!{%- endif %}
----
{%- set xml_tools = ['a', 'b'] %}{%- set python_tools = [] %}{%- if xml_tools or python_tools %}{%- set ns = namespace(s="Tools:") %}{%- for t in xml_tools %}{%- set ns.s = ns.s ~ "\n" ~ (t | string) %}{%- endfor %}{{ ns.s }}{%- endif %}
----
{%- set image = {'type': 'image', 'index': 2} %}{{ '<|image_%d|>' % image.index }}{{ '<|image_' ~ image['index'] ~ '|>' }}{%- for i in range(3) %}<{{ i }}>{%- endfor %}{{ '<pad>' * 3 }}
----
{{- bos_token -}}
{%- for m in messages -%}
{%- if m['role'] == 'user' -%}
{{- '<U>' -}}{{- m['content'] -}}
{%- else -%}
{{- '<O>' -}}
{%- endif -%}
{%- endfor %}

----
{#- Header -#}
{%- set sep = '\n' -%}
{# kept #}
{{ sep.join(messages | map(attribute='role')) }}
{#- trailing -#}
----
{%- if messages | selectattr('role', 'equalto', 'system') | list | length > 1 %}{{ raise_exception('Only one system message') }}{%- endif %}{%- if (messages | last)['role'] == 'assistant' %}{{ raise_exception('Cannot end with assistant') }}{%- endif %}ok
----
{%- if messages[-1].role == 'user' %}{{ raise_exception('Conversation must not end with ' + messages[-1].role) }}{%- endif %}
----
{%- set t = {'properties': {'z': {}, 'a': {}}} %}{%- for name, p in t.properties | dictsort %}{{ name }}{%- endfor %}{%- for name in t.properties | sort %}{{ name }}{%- endfor %}{%- for name in t.properties.keys() | list | reverse %}{{ name }}{%- endfor %}{{ t.properties | list | tojson }}
"""
